"""Adds the reader's batches to the host's stream in Redis, after a check of every field.

The reader gets no password of Redis: it parses what anyone on the network sends, and the root worker's
password is good for more than this stream. So a process of the root worker's, without capabilities, passes on
what has the exact form.
"""

from __future__ import annotations

import logging
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from dockerfw.host.privileges import keep_only
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.refusals import (
    BATCH_FIELD,
    MAX_BATCH_BYTES,
    MOST_BATCHES,
    RefusalBatch,
    refusals_key,
)

logger = logging.getLogger("dockerfw.refused")

MOST_WAITING: Final = 100
_RETRY_SECONDS: Final = 1.0


class Forwarder:
    """Passes on the batches of one host; `connect` returns a connection whose answers have a time limit."""

    def __init__(self, batches: socket.socket, host: str, connect: Callable[[], Redis]) -> None:
        self._batches = batches
        self._host = host
        self._connect = connect
        self._redis: Redis | None = None
        self._waiting: deque[RefusalBatch] = deque()
        self._lost = 0
        self._works = True

    def run(self) -> None:
        """Drop every capability, and pass on batches until this process is ended."""
        keep_only(frozenset())
        retry = 0.0
        while True:
            pause = max(0.0, retry - time.monotonic()) if self._waiting else None
            ready, _, _ = select.select([self._batches], [], [], pause)
            if ready and not self._receive():
                # The reader has ended for good.
                signal.pause()
            if self._waiting and time.monotonic() >= retry and not self._send():
                retry = time.monotonic() + _RETRY_SECONDS

    def _receive(self) -> bool:
        raw = self._batches.recv(MAX_BATCH_BYTES + 1)
        if not raw:
            return False
        try:
            batch = RefusalBatch.from_json(load_json(raw, max_bytes=MAX_BATCH_BYTES))
        except MessageError as error:
            logger.error("a batch of refused packets is not passed on: %s", error)
            return True
        if batch.host == self._host:
            self._waiting.append(batch)
        if len(self._waiting) > MOST_WAITING:
            self._lost += self._waiting.popleft().packets
        return True

    def _send(self) -> bool:
        try:
            self._redis = self._redis or self._connect()
            while self._waiting:
                batch = self._waiting[0]
                value = dump_json(replace(batch, dropped=batch.dropped + self._lost).to_json())
                self._redis.xadd(
                    refusals_key(self._host), {BATCH_FIELD: value}, maxlen=MOST_BATCHES, approximate=True
                )
                self._waiting.popleft()
                self._lost = 0
        except RedisError as error:
            if self._works:
                logger.warning("refused packets wait for Redis: %s", error)
            self._works = False
            return False
        if not self._works:
            logger.info("refused packets reach Redis again")
        self._works = True
        return True
