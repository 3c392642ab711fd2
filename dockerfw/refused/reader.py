"""Reads the kernel's log from an open socket, and hands on batches of refusals. It needs no right at all."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from typing import Final

from dockerfw.host.clock import utc_now
from dockerfw.messages.codec import dump_json
from dockerfw.messages.refusals import Refusal
from dockerfw.refused.folding import Folding
from dockerfw.refused.netlink_log import read_datagram
from dockerfw.refused.packets import NotOurs, NotReadable, read_refusal

BATCH_SECONDS: Final = 0.25
_MOST_WAITING: Final = 40
_RECEIVED_BYTES: Final = 1 << 17
_NAMES_SECONDS: Final = 10.0


class Reader:
    """Reads `log` and sends to `batches`, a socket that keeps messages apart, until either fails."""

    def __init__(self, log: socket.socket, batches: socket.socket, host: str) -> None:
        self._log = log
        self._batches = batches
        self._folding = Folding(host)
        # Each with the number of packets that it stands for.
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._due = 0.0
        self._names: dict[int, str] = {}
        self._names_until = 0.0

    def read(self) -> None:
        """Read until a socket fails. Raises OSError."""
        self._log.setblocking(False)
        self._batches.setblocking(False)
        while True:
            idle = self._folding.is_empty and not self._waiting
            pause = None if idle else max(0.0, self._due - time.monotonic())
            ready, _, _ = select.select([self._log], [], [], pause)
            if idle:
                self._due = time.monotonic() + BATCH_SECONDS
            if ready:
                self._receive()
            if time.monotonic() >= self._due:
                self._hand_on()
                self._due = time.monotonic() + BATCH_SECONDS

    def _receive(self) -> None:
        try:
            raw = self._log.recv(_RECEIVED_BYTES)
        except OSError as error:
            # The kernel had no room: the numbers of the next packets tell how many are missing.
            if error.errno in (errno.ENOBUFS, errno.EAGAIN, errno.EINTR):
                return
            raise
        now, moment = _now(), time.monotonic()
        found = read_datagram(raw)
        unread = found.errors
        refusals: list[Refusal] = []
        for logged in found.packets:
            self._folding.note_sequence(logged.sequence)
            try:
                refusals.append(read_refusal(logged, now, self._name))
            except NotOurs:
                continue
            except NotReadable:
                unread += 1
        self._folding.add(refusals, moment)
        self._folding.note_dropped(unread, now)

    def _hand_on(self) -> None:
        if not self._folding.is_empty:
            batch = self._folding.take(_now())
            self._waiting.append((dump_json(batch.to_json()), batch.packets))
        while self._waiting:
            try:
                self._batches.send(self._waiting[0][0])
            except BlockingIOError:
                break
            self._waiting.popleft()
        while len(self._waiting) > _MOST_WAITING:
            _, count = self._waiting.popleft()
            self._folding.note_dropped(count, _now())

    def _name(self, index: int) -> str:
        now = time.monotonic()
        if now > self._names_until:
            self._names, self._names_until = {}, now + _NAMES_SECONDS
        if index not in self._names:
            try:
                name = socket.if_indextoname(index)
            except (OSError, OverflowError, ValueError):
                name = ""
            self._names[index] = name if name.isprintable() and len(name) <= 15 else ""
        return self._names[index]


def _now() -> str:
    """Return the time of UTC, to the millisecond."""
    return f"{utc_now()[:-4]}Z"
