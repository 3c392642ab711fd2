"""The root worker's jobs, `apply`, `answer` and `observe`, and what it does when one of them dies.

Owns the way between the messages and `rules.host`: reads an order, reports each step, keeps and sends the
last word, stores snapshots. It must not touch a database, and trusts nothing that came over the queue.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from dockerfw.agent.apply import Apply
from dockerfw.agent.drift_monitor import Lookout
from dockerfw.agent.journal import Journal
from dockerfw.host.clock import boot_id, boottime, utc_now
from dockerfw.host.files import write_durably
from dockerfw.host.reading import Seen
from dockerfw.host.space import space_of
from dockerfw.messages.about import ABOUT_FILE, About, about_key
from dockerfw.messages.codec import dump_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.orders import Answer, Order
from dockerfw.messages.outcomes import Failure, Outcome, progress_key
from dockerfw.messages.snapshots import Snapshot, snapshot_key
from dockerfw.store.outbox import FINAL_STATES
from dockerfw.store.state import StateDirectory
from dockerfw.version import VERSION
from dockerfw.window.answers import carry_out
from dockerfw.window.window import FINAL_EVENT, NotOpen, end_if_due
from dockerfw.worker.entries import AllowedJob

logger = logging.getLogger("dockerfw.jobs")

APPLY_SECONDS = 300.0
ANSWER_SECONDS = 120.0
OBSERVE_SECONDS = 60.0
PROGRESS_TTL_SECONDS = 2 * 3600
ABOUT_TTL_SECONDS = 24 * 3600
MAX_SNAPSHOT_BYTES = 48 * 1024 * 1024
# Whoever holds the lock longer than this after a job has died hangs.
PATIENCE_SECONDS = 5.0


class RootJobs:
    """What the queue of one host may ask for.

    `telling` is a connection for the steps of an apply, which waits for nobody: it has to give up soon.
    `window_seconds` replaces the length of every window, for tests, which cannot wait for real ones.
    Docker is asked for its containers over `docker_socket`, where that is given.
    """

    def __init__(
        self,
        *,
        host: str,
        state: StateDirectory,
        connection: Redis,
        telling: Redis,
        window_seconds: int | None = None,
        docker_socket: Path | None = None,
        observe_seconds: int = 60,
    ) -> None:
        self._host = host
        self._every = observe_seconds
        # A wall clock that is set later differs from this, and every process tells it.
        self._offset = max(0.0, time.time() - boottime())
        self._state = state
        self._connection = connection
        self._telling = telling
        self._journal = Journal(state.journal, host=host, on_final=self._progress_again)
        self._window_seconds = window_seconds
        self._docker_socket = docker_socket
        self._lookout = Lookout(
            state,
            host=host,
            tell=self._journal.write,
            docker_socket=docker_socket,
        )
        self._progress_works = True

    def allowed(self) -> dict[str, AllowedJob]:
        """Return the list of what may run, for the locked worker."""
        return {
            "apply": AllowedJob(self.apply, arguments=(dict,), seconds=APPLY_SECONDS),
            "answer": AllowedJob(self.answer, arguments=(dict,), seconds=ANSWER_SECONDS),
            "observe": AllowedJob(self.observe, seconds=OBSERVE_SECONDS),
        }

    def apply(self, value: dict[str, object]) -> None:
        """Carry out one order until its window is open, and tell what became of it."""
        try:
            order = Order.from_json(value)
        except MessageError as error:
            self._refuse_unreadable(value, error)
            return
        if self._came_again(order):
            return
        self._progress_works = True
        run = Apply(
            order,
            host=self._host,
            state=self._state,
            tell=self._tell,
            settle=self._settle,
            window_seconds=self._window_seconds,
            docker_socket=self._docker_socket,
        )
        outcome = run.run()
        logger.info("apply %s of revision %d: %s", order.apply, order.revision, outcome.state)
        if outcome.error is not None:
            logger.warning("apply %s: step %s: %s", order.apply, outcome.error.step, outcome.error.summary)
        self._progress(outcome)
        seen = run.after if outcome.state == "awaiting" else None
        with contextlib.suppress(RedisError):
            self._look(seen=seen)
        self.deliver()

    def answer(self, value: dict[str, object]) -> None:
        """Carry out one answer to an open window, and tell what became of it."""
        try:
            answer = Answer.from_json(value)
            outcome = carry_out(answer, self._state, host=self._host)
        except (MessageError, NotOpen) as error:
            # Nothing waits for this answer; what became of its apply was told when it ended.
            logger.warning("an answer was not carried out: %s", error)
            return
        self._progress(outcome)
        if outcome.error is not None:
            logger.warning("apply %s: %s", outcome.apply, outcome.error.summary)
        elif outcome.state in FINAL_STATES:
            with contextlib.suppress(RedisError):
                self._look()
        self.deliver()

    def observe(self) -> None:
        """Look at the host and store the snapshot."""
        self._look()

    def watch(self) -> None:
        """Look at the host unasked, put back what the document wants put back, and store the snapshot.

        While a window is open there is nothing to notice, and an answer must not wait for a look.
        """
        if self._state.has_window():
            return
        try:
            self._store(self._lookout.look_and_heal())
        except RedisError as error:
            logger.warning("the snapshot is not stored: %s", error)

    def window_closed(self) -> None:
        """Show and send how a window ended that nobody here has ended."""
        self.deliver()
        try:
            self._look()
        except RedisError as error:
            logger.warning("the snapshot is not stored: %s", error)

    def died(self, name: str, arguments: list[object]) -> None:
        """Clean up after a job whose process died: undo what it had begun, and tell."""
        if name == "answer":
            # Kept, and not told; or rolling back, and not done. An open window stays open.
            with self._state.lock_by_force(patience=PATIENCE_SECONDS):
                end_if_due(self._state)
            self.deliver()
        if name != "apply" or not arguments:
            return
        try:
            order = Order.from_json(arguments[0])
        except MessageError:
            return
        self._bury(order, "The process that loaded the rules died or took too long, and was ended")

    def idle(self) -> None:
        """Do between jobs what they shall not have to do each."""
        self.deliver()
        self._lookout.remember()

    def deliver(self) -> None:
        """Send the letters that were not delivered; what fails is tried again later."""
        try:
            self._journal.deliver(self._connection)
            self._journal.reserve()
        except (RedisError, OSError) as error:
            logger.warning("the clerk is told later: %s", error)

    def _came_again(self, order: Order) -> bool:
        """Say whether this order was let in before, and see to it that it has a last word."""
        try:
            if order.apply != self._state.read_last_order().apply:
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
        with self._state.lock_by_force(patience=PATIENCE_SECONDS):
            end_if_due(self._state)
            window = self._state.read_window()
            # Without a window nothing was loaded; whatever had one has its last word, or still waits.
            if (window is None or window.apply != order.apply) and not self._journal.settled(order.apply):
                dead = self._dead(order.apply, "report", f"{why}. Nothing was changed.")
                self._journal.write(dead)
        self.deliver()

    def _dead(self, apply: str, step: str, summary: str) -> Outcome:
        return Outcome(
            apply=apply,
            host=self._host,
            event=FINAL_EVENT,
            state="failed",
            at=utc_now(),
            steps=(),
            error=Failure(step=step, summary=summary),
            loaded=None,
        )

    def _settle(self, outcome: Outcome) -> None:
        """Keep an outcome for good. Raises OSError, and sends a failure at least, while Redis has it."""
        try:
            self._journal.write(outcome)
        except OSError:
            if outcome.state == "failed":
                with contextlib.suppress(RedisError):
                    self._journal.send(self._connection, outcome)
            raise

    def _refuse_unreadable(self, value: dict[str, object], error: MessageError) -> None:
        logger.warning("an order that is none was refused: %s", error)
        # Only an order that names its apply and this host can be answered.
        answer = replace(self._dead("", "validate", f"The order cannot be read: {error}"), event=0)
        with contextlib.suppress(MessageError, OSError):
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
            key, value = progress_key(self._host, outcome.apply), dump_json(outcome.to_json())
            self._telling.set(key, value, ex=PROGRESS_TTL_SECONDS)
        except RedisError as error:
            # Once is enough: an apply must not wait for Redis at every step.
            self._progress_works = False
            logger.warning("the steps cannot be shown while they run: %s", error)

    def _progress_again(self, outcome: Outcome) -> None:
        self._progress_works = True
        self._progress(outcome)

    def _look(self, *, seen: Seen | None = None) -> None:
        self._store(self._lookout.look(seen=seen))

    def _store(self, snapshot: Snapshot) -> None:
        value: Any = dump_json(snapshot.to_json())
        if len(value) > MAX_SNAPSHOT_BYTES:
            logger.error("the snapshot has %d bytes; at most %d are stored", len(value), MAX_SNAPSHOT_BYTES)
            return
        # First: whoever finds the snapshot without it knows that the root worker is one of release 0.1.0.
        about = dump_json(self._about(snapshot.taken_at).to_json())
        self._connection.set(about_key(self._host), about, ex=ABOUT_TTL_SECONDS)
        self._connection.set(snapshot_key(self._host), value)

    def introduce(self) -> None:
        """Tell the version and the clock also in the state directory, for who asks there without Redis."""
        try:
            write_durably(self._state.path / ABOUT_FILE, dump_json(self._about(utc_now()).to_json()))
        except OSError as error:
            logger.warning("%s is not written: %s", ABOUT_FILE, error)

    def _about(self, at: str) -> About:
        boot, state = "", None
        with contextlib.suppress(OSError):
            boot, state = boot_id(), space_of(self._state.path)
        return About(
            host=self._host,
            at=at,
            version=VERSION,
            boot=boot,
            offset=self._offset,
            every=self._every,
            state=state,
        )
