"""How entries are taken off a queue so that none is lost: by way of the list of those that are being done.

Owns the two lists in Redis, and what is removed when an entry is done. What an entry says is for `entries`.
Others can write all of this too, so a key may be of any kind.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from redis.exceptions import ResponseError
from rq import Queue

from dockerfw.worker.entries import done_key, job_key

logger = logging.getLogger("dockerfw.worker")

DONE_TTL_SECONDS = 7 * 24 * 60 * 60
# So long after the time for which it was asked to wait, a Redis that has not answered hangs.
HUNG_SECONDS = 1.0


class Taking:
    """The entries of one queue that wait, and those that were taken and are not done."""

    def __init__(self, queue: Queue) -> None:
        self._name = queue.name
        self._connection = queue.connection
        self._queue_key = queue.key
        self._taken_key = queue.intermediate_queue_key
        self._put_back = False

    def take(self, seconds: float) -> bytes | None:
        """Move the next entry's id to the list of taken ones and return it; None when none came in time.

        Raises RedisError.
        """
        try:
            # The entry stays in Redis until it is done, so it is not lost when this process is killed.
            moved = self._move_entry(seconds)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._drop_impostors()
            moved = None
        if moved is None:
            # Nothing is being done now: whatever counts as taken was left behind by somebody.
            self._put_back = False
            return None
        return bytes(moved)

    def put_back(self) -> None:
        """Put entries that an earlier process had taken and not finished back in front, once.

        Raises RedisError.
        """
        if self._put_back:
            return
        try:
            while self._connection.lmove(self._taken_key, self._queue_key, "RIGHT", "LEFT") is not None:
                logger.info("an unfinished entry of %s was put back", self._name)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._drop_impostors()
        self._put_back = True

    def forget(self, raw_id: bytes, *, done: bool = False) -> None:
        """Remove all that is of an entry; with `done`, leave a mark that it was done. Raises RedisError."""
        with self._connection.pipeline(transaction=True) as pipeline:
            pipeline.lrem(self._taken_key, 0, raw_id)  # type: ignore[arg-type]
            with contextlib.suppress(UnicodeDecodeError):
                job_id = raw_id.decode("ascii")
                key = job_key(job_id)
                pipeline.unlink(key, f"{key}:dependents", f"{key}:dependencies")
                if done:
                    pipeline.set(done_key(job_id), "1", ex=DONE_TTL_SECONDS)
            pipeline.execute()

    def is_lost(self) -> None:
        """Know that Redis was away: what was taken may have been left there."""
        self._put_back = False

    def _move_entry(self, seconds: float) -> Any:
        # The connection's own time limit is for answers that come at once; here Redis is asked to wait.
        pool = self._connection.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_command(  # type: ignore[no-untyped-call]
                "BLMOVE", self._queue_key, self._taken_key, "LEFT", "RIGHT", seconds
            )
            return connection.read_response(timeout=seconds + HUNG_SECONDS)
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        finally:
            pool.release(connection)

    def _drop_impostors(self) -> None:
        """Remove keys of the queue's name that are no lists; nothing could ever be served otherwise."""
        for key in (self._queue_key, self._taken_key):
            kind: Any = self._connection.type(key)
            if kind not in (b"list", b"none"):
                logger.warning("removed %s, which is a %s and no list", key, kind.decode())
                self._connection.unlink(key)


def is_wrong_type(error: ResponseError) -> bool:
    """Say whether Redis refused because a key is of another kind: somebody's junk."""
    return str(error).startswith("WRONGTYPE")
