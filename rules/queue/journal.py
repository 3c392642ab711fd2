"""The outcomes of this host on disk until the clerk has written them down.

Owns the files of the journal directory and the sending: an outcome is on disk before it is sent, and it is
sent again until the clerk's worker has left its note. Redis may forget everything at any time. It must not
decide what an outcome says.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from rules.host.files import read_bounded, sync_directory, write_durably
from rules.queue.entries import done_key, job_key
from rules.queue.orders import CLERK_QUEUE, OrderError, Outcome, dump_json, load_json

logger = logging.getLogger("dockerfw.journal")

MAX_PENDING = 1000
MAX_OUTCOME_BYTES = 1024 * 1024
WAITS_SECONDS = 3600
RETRY_SECONDS = (2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
FINAL_STATES = frozenset({"confirmed", "rolled_back", "failed"})
_LAST = "last.json"


class Journal:
    """The journal of one state directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tries: dict[str, tuple[int, float]] = {}

    def write(self, outcome: Outcome) -> None:
        """Keep an outcome for good; when this returns it survives a power cut. Raises OSError."""
        path = self._directory / f"outcome-{outcome.apply}-{outcome.event:06d}.json"
        write_durably(path, dump_json(outcome.to_json()))

    def settled(self, apply: str) -> bool:
        """Say whether an apply's last outcome is known, sent or not. Raises OSError."""
        paths = [self._directory / _LAST, *self._directory.glob(f"outcome-{apply}-*.json")]
        for path in paths:
            outcome = _read(path)
            if outcome is not None and outcome.apply == apply and outcome.state in FINAL_STATES:
                return True
        return False

    def pending(self) -> list[Path]:
        """Return the outcomes that the clerk has not written down, the oldest first. Raises OSError."""
        found = self._directory.glob("outcome-*.json")
        return [path for _, path in sorted((path.stat().st_mtime_ns, path) for path in found)]

    def deliver(self, connection: Redis) -> None:
        """Send what was not sent, forget what was written down. Raises OSError and redis's errors."""
        pending = self.pending()
        for path in pending[: max(0, len(pending) - MAX_PENDING)]:
            logger.error("%s was never delivered; it is given up, there are too many", path)
            path.unlink(missing_ok=True)
        for path in pending[-MAX_PENDING:]:
            self._deliver(connection, path)

    def _deliver(self, connection: Redis, path: Path) -> None:
        job_id = path.stem
        if connection.exists(done_key(job_id)):
            self._forget(path)
            connection.unlink(done_key(job_id))
            return
        tries, not_before = self._tries.get(job_id, (0, 0.0))
        if time.monotonic() < not_before or connection.exists(job_key(job_id)):
            return
        outcome = _read(path)
        if outcome is None:
            path.rename(path.with_suffix(".unreadable"))
            return
        queue = Queue(CLERK_QUEUE, connection=connection, serializer=JSONSerializer)
        arguments: Any = [outcome.to_json()]
        queue.enqueue_call(
            "record_outcome", args=arguments, job_id=job_id, ttl=WAITS_SECONDS, result_ttl=0, failure_ttl=60
        )
        pause = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
        self._tries[job_id] = (tries + 1, time.monotonic() + pause)

    def _forget(self, path: Path) -> None:
        outcome = _read(path)
        self._tries.pop(path.stem, None)
        if outcome is not None and outcome.state in FINAL_STATES:
            # The last one stays, so that an order that comes twice is known.
            os.replace(path, self._directory / _LAST)
        else:
            path.unlink(missing_ok=True)
        sync_directory(self._directory)


def _read(path: Path) -> Outcome | None:
    raw = read_bounded(path, most=MAX_OUTCOME_BYTES)
    if raw is None:
        return None
    try:
        return Outcome.from_json(load_json(raw))
    except OrderError as error:
        logger.error("%s is not an outcome: %s", path, error)
        return None
