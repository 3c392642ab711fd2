"""A queue in Redis from which no entry is lost: an entry stays in a second list until it is done.

Other clients can write these keys too, so a key may have any type. entries.py reads what an entry contains.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError
from rq import Queue

from dockerfw.worker.entries import done_key, job_key

logger = logging.getLogger("dockerfw.worker")

DONE_TTL_SECONDS = 7 * 24 * 60 * 60
# Redis counts as unavailable when it answers this much later than it was asked to.
HUNG_SECONDS = 1.0


class ReliableQueue:
    """The entries of one queue that wait, and those that were taken and are not done."""

    def __init__(self, queue: Queue, ids: re.Pattern[bytes]) -> None:
        self._ids = ids
        self._name = queue.name
        self._connection = queue.connection
        self._queue_key = queue.key
        self._taken_key = queue.intermediate_queue_key
        self._recovered = False

    def take(self, seconds: float) -> bytes | None:
        """Move the next entry's id to the list of taken ones and return it; None after `seconds` without one.

        Raises RedisError.
        """
        try:
            # The entry stays in Redis until it is done, so it survives when this process is killed.
            moved = self._move_entry(seconds)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._remove_wrong_types()
            moved = None
        if moved is None:
            # No job runs now: entries that count as taken were left there by another process.
            self._recovered = False
            return None
        return bytes(moved)

    def recover(self) -> None:
        """Move the entries that an earlier process took and did not finish back to the front, once.

        Raises RedisError.
        """
        if self._recovered:
            return
        try:
            while self._connection.lmove(self._taken_key, self._queue_key, "RIGHT", "LEFT") is not None:
                logger.info("an unfinished entry of %s waits again", self._name)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._remove_wrong_types()
        self._recovered = True

    def waiting(self, most: int) -> list[bytes]:
        """Return the ids of at most `most` entries that wait, the next one first; none without the right.

        Redis users of earlier releases lack it. Raises RedisError.
        """
        try:
            found: Any = self._connection.lrange(self._queue_key, 0, most - 1)
        except NoPermissionError:
            return []
        return [bytes(raw_id) for raw_id in found]

    def remove(self, raw_id: bytes, *, done: bool = False) -> None:
        """Remove an entry and the keys of its job; with `done`, set the key that it is done.

        Raises RedisError. The job of another queue stays: Redis would refuse to remove it, and then the entry
        would stay too.
        """
        with self._connection.pipeline(transaction=True) as pipeline:
            pipeline.lrem(self._taken_key, 0, raw_id)  # type: ignore[arg-type]
            if self._ids.fullmatch(raw_id):
                job_id = raw_id.decode("ascii")
                key = job_key(job_id)
                pipeline.unlink(key, f"{key}:dependents", f"{key}:dependencies")
                if done:
                    pipeline.set(done_key(job_id), "1", ex=DONE_TTL_SECONDS)
            pipeline.execute()

    def recover_again(self) -> None:
        """Make the next `recover` work again, since an entry may have stayed while Redis was unavailable."""
        self._recovered = False

    def _move_entry(self, seconds: float) -> Any:
        # The connection's own time limit is for immediate answers; here Redis is asked to wait.
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

    def _remove_wrong_types(self) -> None:
        """Remove keys of the queue that are not lists, since the queue could not be served otherwise."""
        for key in (self._queue_key, self._taken_key):
            kind: Any = self._connection.type(key)
            if kind not in (b"list", b"none"):
                logger.warning("removed %s: it is a %s, not a list", key, kind.decode())
                self._connection.unlink(key)


def is_wrong_type(error: ResponseError) -> bool:
    """Return True if Redis refused a command because the key has another type."""
    return str(error).startswith("WRONGTYPE")
