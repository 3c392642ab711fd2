"""The root worker's two jobs, `apply` and `observe`, and what it does when one of them dies.

Owns the way between the messages and `rules.host`: reads an order, reports each step, keeps and sends the
last word, stores snapshots. It must not touch a database, and trusts nothing that came over the queue.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from rules.host.apply import Apply, recover
from rules.host.snapshot import observe, utc_now
from rules.host.state import StateDirectory, UndoRecord
from rules.queue.entries import AllowedJob
from rules.queue.journal import Journal
from rules.queue.orders import (
    Failure,
    Order,
    OrderError,
    Outcome,
    Snapshot,
    dump_json,
    progress_key,
    snapshot_key,
)

logger = logging.getLogger("dockerfw.jobs")

APPLY_SECONDS = 300.0
OBSERVE_SECONDS = 60.0
PROGRESS_TTL_SECONDS = 3600
MAX_SNAPSHOT_BYTES = 48 * 1024 * 1024
# Steps count events from 0; what is said about a dead apply comes after all of them.
DEAD_EVENT = 1000


class RootJobs:
    """What the queue of one host may ask for."""

    def __init__(self, *, host: str, state: StateDirectory, connection: Redis) -> None:
        self._host = host
        self._state = state
        self._connection = connection
        self._journal = Journal(state.journal)
        self._progress_works = True

    def allowed(self) -> dict[str, AllowedJob]:
        """Return the list of what may run, for the locked worker."""
        return {
            "apply": AllowedJob(self.apply, arguments=(dict,), seconds=APPLY_SECONDS),
            "observe": AllowedJob(self.observe, seconds=OBSERVE_SECONDS),
        }

    def apply(self, value: dict[str, object]) -> None:
        """Carry out one order and tell what became of it."""
        try:
            order = Order.from_json(value)
        except OrderError as error:
            self._refuse_unreadable(value, error)
            return
        if self._came_again(order):
            return
        self._progress_works = True
        run = Apply(order, host=self._host, state=self._state, tell=self._tell, settle=self._journal.write)
        outcome = run.run()
        logger.info("apply %s of revision %d: %s", order.apply, order.revision, outcome.state)
        if outcome.error is not None:
            logger.warning("apply %s: step %s: %s", order.apply, outcome.error.step, outcome.error.summary)
        seen = (run.after.backend, run.after.saves) if run.after and outcome.state == "confirmed" else None
        with contextlib.suppress(RedisError):
            self._store(observe(self._host, seen=seen))
        self._progress(outcome)
        self.deliver()

    def observe(self) -> None:
        """Look at the host and store the snapshot."""
        self._store(observe(self._host))

    def died(self, name: str, arguments: list[object]) -> None:
        """Clean up after a job whose process died: undo what it had begun, and tell."""
        if name != "apply" or not arguments:
            return
        try:
            order = Order.from_json(arguments[0])
        except OrderError:
            return
        self._bury(order, "The process that loaded the rules died or took too long, and was ended")

    def start(self) -> None:
        """Undo what an earlier root worker left half done. Raises what `recover` raises."""
        with self._state.lock():
            record = recover(self._state)
        if record is not None:
            self._settle_dead(record, "The root worker was stopped in the middle of the apply")

    def deliver(self) -> None:
        """Send the outcomes that were not delivered; what fails is tried again later."""
        try:
            self._journal.deliver(self._connection)
        except (RedisError, OSError) as error:
            logger.warning("outcomes will be sent later: %s", error)

    def _came_again(self, order: Order) -> bool:
        """Say whether this order was let in before, and see to it that it has a last word."""
        try:
            if order.apply != self._state.last_begun().apply:
                return False
            if not self._journal.settled(order.apply):
                self._bury(order, "The root worker was stopped in the middle of the apply")
        # A state directory that cannot be read is for the apply itself to report.
        except Exception as error:  # noqa: BLE001
            logger.warning("cannot tell whether apply %s was here before: %s", order.apply, error)
            return False
        logger.warning("apply %s came a second time and was not run again", order.apply)
        return True

    def _bury(self, order: Order, why: str) -> None:
        with self._state.lock():
            record = recover(self._state)
        if record is not None and record.apply != order.apply:
            self._settle_dead(record, "The root worker was stopped in the middle of the apply")
        how = "The rules that were there before are in force again" if record else "Nothing was changed"
        self._settle(self._dead(order.apply, "report", f"{why}. {how}."))

    def _settle_dead(self, record: UndoRecord, why: str) -> None:
        summary = f"{why}. The rules that were there before are in force again."
        self._settle(self._dead(record.apply, "report", summary))

    def _dead(self, apply: str, step: str, summary: str) -> Outcome:
        return Outcome(
            apply=apply,
            host=self._host,
            event=DEAD_EVENT,
            state="failed",
            at=utc_now(),
            steps=(),
            error=Failure(step=step, summary=summary),
            loaded=None,
        )

    def _settle(self, outcome: Outcome) -> None:
        if self._journal.settled(outcome.apply):
            return
        logger.warning("apply %s: %s", outcome.apply, outcome.error.summary if outcome.error else "")
        self._journal.write(outcome)
        self._progress(outcome)
        self.deliver()

    def _refuse_unreadable(self, value: dict[str, object], error: OrderError) -> None:
        logger.warning("an order that is none was refused: %s", error)
        # Only an order that names its apply and this host can be answered.
        answer = replace(self._dead("", "validate", f"The order cannot be read: {error}"), event=0)
        with contextlib.suppress(OrderError, OSError):
            answer = Outcome.from_json({**answer.to_json(), "apply": value.get("apply")})
            if value.get("host") == self._host:
                self._journal.write(answer)
                self.deliver()

    def _tell(self, outcome: Outcome) -> None:
        self._progress(outcome)
        if outcome.steps and outcome.steps[-1].name == "snapshot":
            # The order is let in: the database shall know even if nothing more is ever heard.
            with contextlib.suppress(OSError):
                self._journal.write(outcome)

    def _progress(self, outcome: Outcome) -> None:
        if not self._progress_works:
            return
        try:
            key, value = progress_key(outcome.apply), dump_json(outcome.to_json())
            self._connection.set(key, value, ex=PROGRESS_TTL_SECONDS)
        except RedisError as error:
            # Once is enough: an apply must not wait for Redis at every step.
            self._progress_works = False
            logger.warning("the steps cannot be shown while they run: %s", error)

    def _store(self, snapshot: Snapshot) -> None:
        value: Any = dump_json(snapshot.to_json())
        if len(value) > MAX_SNAPSHOT_BYTES:
            logger.error("the snapshot has %d bytes; at most %d are stored", len(value), MAX_SNAPSHOT_BYTES)
            return
        self._connection.set(snapshot_key(self._host), value)
