"""A worker's heartbeat: its hash in Redis, which shows rq and the dashboard that it serves its queue."""

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
    """The hash `key` of a worker of one queue, and its entries in the sets of workers."""

    def __init__(self, connection: Redis, *, queue: str, key: str, workers: str, hostname: str) -> None:
        self._connection = connection
        self._queue = queue
        self._key = key
        self._workers = (workers, f"rq:workers:{queue}")
        self._hostname = hostname
        self._registered = False

    def renew(self) -> None:
        """Renew the hash; register the worker first where that is needed. Raises RedisError."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        values: dict[Any, Any] = {
            "last_heartbeat": now,
            "queues": self._queue,
            "pid": os.getpid(),
            "hostname": self._hostname,
        }
        if not self._registered:
            values["birth"] = now
        try:
            with self._connection.pipeline(transaction=True) as pipeline:
                if not self._registered:
                    pipeline.unlink(self._key)
                pipeline.hset(self._key, mapping=values)
                pipeline.expire(self._key, WORKER_TTL_SECONDS)
                for workers in self._workers:
                    pipeline.sadd(workers, self._key)
                pipeline.execute()
        except ResponseError as error:
            if not self._registered:
                logger.warning("the worker cannot be registered, but serves its queue: %s", error)
        self._registered = True

    def register_again(self) -> None:
        """Make the next renewal register the worker, since Redis may have lost its hash."""
        self._registered = False

    def remove(self) -> None:
        """Remove the hash, if Redis can be reached."""
        with (
            contextlib.suppress(RedisError, OSError),
            self._connection.pipeline(transaction=True) as pipeline,
        ):
            for workers in self._workers:
                pipeline.srem(workers, self._key)
            pipeline.unlink(self._key)
            pipeline.execute()
