"""A worker's own hash in Redis, by which rq and the dashboard see that it serves."""

from __future__ import annotations

import contextlib
import logging
import os
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

logger = logging.getLogger("dockerfw.worker")

WORKER_TTL_SECONDS = 60


class Heartbeat:
    """The hash `key` of a worker of one queue, and its names in the sets of workers."""

    def __init__(self, connection: Redis, *, queue: str, key: str, workers: str, hostname: str) -> None:
        self._connection = connection
        self._queue = queue
        self._key = key
        self._workers = (workers, f"rq:workers:{queue}")
        self._hostname = hostname
        self._there = False

    def renew(self) -> None:
        """Keep it alive; make it when it is not there. Raises RedisError."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        values: dict[Any, Any] = {
            "last_heartbeat": now,
            "queues": self._queue,
            "pid": os.getpid(),
            "hostname": self._hostname,
        }
        if not self._there:
            values["birth"] = now
        try:
            with self._connection.pipeline(transaction=True) as pipeline:
                if not self._there:
                    pipeline.unlink(self._key)
                pipeline.hset(self._key, mapping=values)
                pipeline.expire(self._key, WORKER_TTL_SECONDS)
                for workers in self._workers:
                    pipeline.sadd(workers, self._key)
                pipeline.execute()
        except ResponseError as error:
            if not self._there:
                logger.warning("the worker cannot be registered, and serves all the same: %s", error)
        self._there = True

    def is_lost(self) -> None:
        """Know that Redis was away, and may have forgotten it."""
        self._there = False

    def remove(self) -> None:
        """Take it away, if Redis can be reached."""
        with (
            contextlib.suppress(RedisError, OSError),
            self._connection.pipeline(transaction=True) as pipeline,
        ):
            for workers in self._workers:
                pipeline.srem(workers, self._key)
            pipeline.unlink(self._key)
            pipeline.execute()
