"""The delivery of the outbox: each letter is sent to the clerk's queue until the clerk has recorded it.

A letter is on disk before it is sent, because Redis may forget everything at any time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.messages.orders import CLERK_QUEUE
from dockerfw.messages.outcomes import Outcome
from dockerfw.store.event_limit import write_left_out_event
from dockerfw.store.letters import Letter, letter_name, read_letter
from dockerfw.store.outbox import FINAL_STATES, Outbox
from dockerfw.worker.entries import done_key, host_job_id, job_key

logger = logging.getLogger("dockerfw.journal")

MAX_OUTCOMES = 1000
WAITS_SECONDS = 3600
RETRY_SECONDS = (2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Journal(Outbox):
    """The root worker's outbox and the sending of it; `on_final` gets each last outcome that is sent."""

    def __init__(
        self, directory: Path, *, host: str, on_final: Callable[[Outcome], None] | None = None
    ) -> None:
        super().__init__(directory)
        self._host = host
        self._tries: dict[str, tuple[int, float]] = {}
        self._on_final = on_final

    def deliver(self, connection: Redis) -> None:
        """Send the letters that were not sent, forget those that were recorded.

        Raises redis's errors at once. OSError is raised at the end: a file that cannot be read or removed
        must not hold back the others.
        """
        problems: list[OSError] = []
        try:
            write_left_out_event(self._directory, host=self._host)
        except OSError as error:
            problems.append(error)
        for path in self._limited(self.pending()):
            try:
                self._deliver(connection, path)
            except OSError as error:
                problems.append(error)
        if problems:
            raise problems[0]

    def _limited(self, pending: list[Path]) -> list[Path]:
        outcomes = [path for path in pending if path.name.startswith("outcome-")]
        excess = outcomes[: max(0, len(outcomes) - MAX_OUTCOMES)]
        for path in excess:
            logger.error("%s was never delivered and is dropped: there are too many", path)
            path.unlink(missing_ok=True)
        return [path for path in pending if path not in excess]

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
        letter = read_letter(path)
        if letter is None:
            path.rename(path.with_suffix(".unreadable"))
            return
        if self._on_final is not None and isinstance(letter, Outcome) and letter.state in FINAL_STATES:
            self._on_final(letter)
        self.send(connection, letter)
        pause = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
        self._tries[job_id] = (tries + 1, time.monotonic() + pause)

    def send(self, connection: Redis, letter: Letter) -> None:
        """Hand one letter to the clerk, once. Raises redis's errors."""
        queue = Queue(CLERK_QUEUE, connection=connection, serializer=JSONSerializer)
        job = "record_outcome"
        if not isinstance(letter, Outcome):
            # Only the root worker knows for sure which host this is, and not the console.
            job, letter = "record_console", replace(letter, host=self._host)
        arguments: Any = [letter.to_json()]
        job_id = host_job_id(self._host, letter_name(letter))
        queue.enqueue_call(
            job, args=arguments, job_id=job_id, ttl=WAITS_SECONDS, result_ttl=0, failure_ttl=60
        )
