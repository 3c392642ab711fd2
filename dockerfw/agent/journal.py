"""Sends the outcomes of this host until the clerk has written them down.

Owns the way from the outbox to the clerk's queue: an outcome is on disk before it is sent, and it is sent
again until the clerk's worker has left its note. Redis may forget everything at any time. It must not decide
what an outcome says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.messages.orders import CLERK_QUEUE
from dockerfw.messages.outcomes import Outcome
from dockerfw.store.outbox import FINAL_STATES, Outbox, read_outcome
from dockerfw.worker.entries import done_key, host_job_id, job_key

logger = logging.getLogger("dockerfw.journal")

MAX_PENDING = 1000
WAITS_SECONDS = 3600
RETRY_SECONDS = (2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Journal(Outbox):
    """The journal of one state directory, and its way to the clerk.

    `on_final` gets each last outcome that is sent.
    """

    def __init__(
        self, directory: Path, *, host: str, on_final: Callable[[Outcome], None] | None = None
    ) -> None:
        super().__init__(directory)
        self._host = host
        self._tries: dict[str, tuple[int, float]] = {}
        self._on_final = on_final

    def deliver(self, connection: Redis) -> None:
        """Send what was not sent, forget what was written down. Raises OSError and redis's errors."""
        pending = self.pending()
        for path in pending[: max(0, len(pending) - MAX_PENDING)]:
            logger.error("%s was never delivered; it is given up, there are too many", path)
            path.unlink(missing_ok=True)
        for path in pending[-MAX_PENDING:]:
            self._deliver(connection, path)

    def _deliver(self, connection: Redis, path: Path) -> None:
        job_id = host_job_id(self._host, path.stem)
        if connection.exists(done_key(job_id)):
            self._tries.pop(job_id, None)
            self.forget(path)
            connection.unlink(done_key(job_id))
            return
        tries, not_before = self._tries.get(job_id, (0, 0.0))
        if time.monotonic() < not_before or connection.exists(job_key(job_id)):
            return
        outcome = read_outcome(path)
        if outcome is None:
            path.rename(path.with_suffix(".unreadable"))
            return
        if self._on_final is not None and outcome.state in FINAL_STATES:
            self._on_final(outcome)
        self.send(connection, outcome, job_id)
        pause = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
        self._tries[job_id] = (tries + 1, time.monotonic() + pause)

    def send(self, connection: Redis, outcome: Outcome, job_id: str) -> None:
        """Hand one outcome to the clerk, once. Raises redis's errors."""
        queue = Queue(CLERK_QUEUE, connection=connection, serializer=JSONSerializer)
        arguments: Any = [outcome.to_json()]
        queue.enqueue_call(
            "record_outcome", args=arguments, job_id=job_id, ttl=WAITS_SECONDS, result_ttl=0, failure_ttl=60
        )
