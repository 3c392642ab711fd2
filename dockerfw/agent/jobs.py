"""The root worker's jobs `apply`, `answer` and `observe`, and the cleanup when the process of one dies.

It reads orders and answers, reports each step, stores and sends outcomes, and stores snapshots. Nothing that
came over the queue is trusted.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from dockerfw.agent import sentences
from dockerfw.agent.apply import Apply
from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.agent.expiry import Expiry
from dockerfw.agent.journal import Journal
from dockerfw.agent.list_jobs import ListJobs
from dockerfw.chains.log_lines import DEFAULT_GROUP
from dockerfw.document.document import digest
from dockerfw.host.clock import boot_id, boottime, utc_now
from dockerfw.host.files import write_durably
from dockerfw.host.observation import unread_snapshot
from dockerfw.host.signer import SignerError, find_sender_fault, read_signer
from dockerfw.host.space import space_of
from dockerfw.messages.about import ABOUT_FILE, MAX_PROBLEM, About, about_key
from dockerfw.messages.codec import dump_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.loaded import LoadedRules, loaded_key
from dockerfw.messages.orders import Answer, Order
from dockerfw.messages.outcomes import REFUSED_EVENT, Failure, Outcome, progress_key
from dockerfw.messages.signatures import fingerprint
from dockerfw.messages.snapshots import Snapshot, snapshot_key
from dockerfw.store.bound_sets import describe_binder_problem
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.exact_rules import store_exact_mark
from dockerfw.store.log_note import read_log_note
from dockerfw.store.outbox import FINAL_STATES
from dockerfw.store.records import WindowRecord
from dockerfw.store.set_changes import SetChange, read_set_change
from dockerfw.store.state import StateDirectory, StateError
from dockerfw.version import VERSION
from dockerfw.window.answers import carry_out
from dockerfw.window.window import FINAL_EVENT, NotOpen, end_if_due
from dockerfw.worker.entries import AllowedJob
from dockerfw.worker.worker import CHORE

logger = logging.getLogger("dockerfw.jobs")

# For a process that hangs where nothing else has a limit. Until the rules are loaded nothing has changed, and
# from then on the watchdog ends an apply, after a time that grows with its text.
APPLY_SECONDS = 1200.0
ANSWER_SECONDS = 300.0
# Where a look takes longer, what the kernel holds is unknown.
LOOK_SECONDS = 60.0
PROGRESS_TTL_SECONDS = 2 * 3600
ABOUT_TTL_SECONDS = 24 * 3600
# Redis may lose everything: the loaded rules are stored again after this time.
PUBLISH_SECONDS = 300.0
MAX_SNAPSHOT_BYTES = 48 * 1024 * 1024
# A process that holds the lock longer than this after a job died is stuck.
PATIENCE_SECONDS = 5.0


class RootJobs:
    """The jobs that the queue of one host may name.

    `telling` is a connection with short time limits for the steps of an apply, which must not wait for Redis.
    `signer` is the file of the dashboard's public key: nothing is done for an order or an answer of others.
    `window_seconds` replaces the length of every window, for tests. `docker_socket` leads to the Docker that
    is asked for its containers. `lists_signer` is the file of the public key for orders about lists.
    `log_group` is the group of the kernel's log for refused packets, and `log_problem` returns why it is not
    read.
    """

    def __init__(
        self,
        *,
        host: str,
        state: StateDirectory,
        connection: Redis,
        telling: Redis,
        signer: Path,
        window_seconds: int | None = None,
        docker_socket: Path | None = None,
        observe_seconds: int = 60,
        lists_signer: Path | None = None,
        log_group: int = DEFAULT_GROUP,
        log_problem: Callable[[], str] = lambda: "",
    ) -> None:
        self._host = host
        self._every = observe_seconds
        # Every process reports this offset, so a wall clock that is set later shows.
        self._offset = max(0.0, time.time() - boottime())
        self._state = state
        self._connection = connection
        self._telling = telling
        self._signer = signer
        self._lists_signer = lists_signer
        self._journal = Journal(state.journal, host=host, on_final=self._progress_again)
        self._window_seconds = window_seconds
        self._docker_socket = docker_socket
        self._log_group = log_group
        self._log_problem = log_problem
        self._monitor = DriftMonitor(
            state,
            host=host,
            tell=self._journal.write,
            docker_socket=docker_socket,
        )
        self._expiry = Expiry(state, host=host, tell=self._journal.write)
        self._lists = ListJobs(
            state, host=host, signer=lists_signer, tell=self._journal.write, confirmed=self._monitor.confirmed
        )
        # The last change of bound sets that was reported.
        self._set_change: SetChange | None = None
        self._progress_works = True
        # The apply whose window is open, if the kernel was read since it was loaded.
        self._looked_in = ""
        # The apply whose loaded rules Redis should have, and the time to store them again.
        self._published: tuple[str, float] = ("", 0.0)

    def allowed(self) -> dict[str, AllowedJob]:
        """Return the jobs that may run, for the locked worker."""
        return {
            "apply": AllowedJob(self.apply, arguments=(dict,), seconds=APPLY_SECONDS),
            "answer": AllowedJob(self.answer, arguments=(dict,), seconds=ANSWER_SECONDS),
            "observe": self._look_job(self.observe),
            "list_part": AllowedJob(self._lists.list_part, arguments=(dict,), seconds=ANSWER_SECONDS),
            "bind_lists": AllowedJob(self.bind_lists, arguments=(dict,), seconds=APPLY_SECONDS),
        }

    def chore(self) -> AllowedJob:
        """Return the look that nobody asks for, for the locked worker."""
        return self._look_job(self.watch)

    def _look_job(self, call: Callable[[], None]) -> AllowedJob:
        return AllowedJob(
            call, seconds=LOOK_SECONDS, yields=True, wanted=self.wants_look, on_done=self.note_look
        )

    def apply(self, value: dict[str, object]) -> None:
        """Carry out one order until its window is open, and report that; the chore looks afterwards."""
        fault = find_sender_fault(value, self._signer)
        if fault is not None:
            self._refuse(value, sentences.UNTRUSTED_ORDER.format(fault=fault))
            return
        try:
            order = Order.from_json(value)
        except MessageError as error:
            self._refuse(value, sentences.UNREADABLE_ORDER.format(error=error))
            return
        if self._is_repeated(order):
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
            log_group=self._log_group,
            known=self._monitor.confirmed(),
        )
        outcome = run.run()
        logger.info("apply %s of revision %d: %s", order.apply, order.revision, outcome.state)
        if outcome.error is not None:
            logger.warning("apply %s: step %s: %s", order.apply, outcome.error.step, outcome.error.summary)
        self._progress(outcome)
        self.deliver()
        if outcome.state == "awaiting" and (loaded := run.loaded_rules()) is not None:
            with contextlib.suppress(RedisError):
                self._publish(loaded)
        # For the look that comes next.
        store_exact_mark(self._state.path)

    def answer(self, value: dict[str, object]) -> None:
        """Carry out one answer to an open window, and report the outcome; the chore looks afterwards."""
        try:
            fault = find_sender_fault(value, self._signer)
            answer = Answer.from_json(value)
            outcome = carry_out(answer, self._state, host=self._host, fault=fault)
        except (MessageError, NotOpen) as error:
            # No apply waits for this answer. Its outcome was reported when it ended.
            logger.warning("an answer was not carried out: %s", error)
            return
        self._progress(outcome)
        self.deliver()
        if outcome.error is not None:
            logger.warning("apply %s: %s", outcome.apply, outcome.error.summary)
        elif outcome.state in FINAL_STATES:
            self._published = ("", 0.0)
            with contextlib.suppress(RedisError):
                self._publish_confirmed()

    def bind_lists(self, value: dict[str, object]) -> None:
        """Carry out one order about lists, and report what became of it."""
        self._lists.bind_lists(value)
        self.deliver()

    def wants_look(self) -> bool:
        """Return False if a window is open in which the kernel was read: an answer must not wait."""
        window = self._open_window()
        return window is None or (window.phase == "awaiting" and window.apply != self._looked_in)

    def follow_sets(self) -> bool:
        """Report that bound sets have changed, and return True if a look has to follow. Never raises."""
        found = read_set_change(self._state)
        if found is None or found == self._set_change:
            return False
        self._set_change = found
        # Also while a window is open in which the kernel was read: that look is from before.
        self._looked_in = ""
        with contextlib.suppress(RedisError):
            self._store_about(utc_now())
        return True

    def note_look(self) -> None:
        """Note that the kernel was read, and the snapshot stored."""
        window = self._open_window()
        self._looked_in = window.apply if window else ""

    def _open_window(self) -> WindowRecord | None:
        try:
            return self._state.read_window()
        # Then the supervisor ends it.
        except (StateError, OSError):
            return None

    def confirmed(self) -> ConfirmedRecord | None:
        """Return the confirmed revision, None if there is none or it cannot be read."""
        return self._monitor.confirmed()

    def observe(self) -> None:
        """Observe the host and store the snapshot."""
        self._store(self._monitor.look())

    def watch(self) -> None:
        """Observe the host without a request, start self-repair if needed, and store the snapshot.

        While a window is open there is no drift, nothing to repair, and no rule of a confirmed revision.
        """
        if not self._state.has_window():
            self._expiry.end_connections(self._monitor.confirmed())
        look = self._monitor.look if self._state.has_window() else self._monitor.look_and_heal
        try:
            self._store(look())
        except RedisError as error:
            logger.warning("the snapshot is not stored: %s", error)

    def window_closed(self) -> None:
        """Report how a window ended that another process has ended."""
        self.deliver()
        self._published = ("", 0.0)
        try:
            self._publish_confirmed()
        except RedisError as error:
            logger.warning("the loaded rules are not stored: %s", error)

    def died(self, name: str, arguments: list[object]) -> None:
        """Clean up after a job whose process died: undo what it had begun, and report the outcome.

        A look that was not done in time says so, or the pages would show an older one without the reason.
        """
        if name in ("observe", CHORE):
            with contextlib.suppress(RedisError):
                self._store(unread_snapshot(self._host, sentences.LOOK_CUT_OFF.format(seconds=LOOK_SECONDS)))
            return
        if name == "answer":
            # It kept and did not report, or did not finish rolling back. An open window stays open.
            with self._state.lock_by_force(patience=PATIENCE_SECONDS):
                end_if_due(self._state)
            self.deliver()
        if name != "apply" or not arguments:
            return
        if not isinstance(arguments[0], dict) or find_sender_fault(arguments[0], self._signer) is not None:
            return
        try:
            order = Order.from_json(arguments[0])
        except MessageError:
            return
        self._report_dead_job(order, sentences.JOB_DIED)

    def idle(self) -> None:
        """Do between jobs what each of them would have to do otherwise."""
        self.deliver()
        self._monitor.remember()
        if self._state.has_window():
            # Redis now has the rules of the window, perhaps for the same revision: see _publish_confirmed.
            self._published = ("", 0.0)
            return
        try:
            self._publish_confirmed()
        except RedisError as error:
            logger.warning("the loaded rules are not stored: %s", error)

    def deliver(self) -> None:
        """Send the letters that were not delivered; what fails is retried later."""
        try:
            self._journal.deliver(self._connection)
            self._journal.reserve()
        except (RedisError, OSError) as error:
            logger.warning("outcomes and events will be sent later: %s", error)

    def _is_repeated(self, order: Order) -> bool:
        """Return True if this order was accepted before; make sure that it has a last outcome."""
        try:
            if order.apply != self._state.read_last_order().apply:
                return False
            if not self._journal.settled(order.apply):
                self._report_dead_job(order, sentences.WORKER_STOPPED)
        # The apply itself reports a state directory that cannot be read.
        except Exception as error:  # noqa: BLE001
            logger.warning("it is unknown whether apply %s was accepted before: %s", order.apply, error)
            return False
        logger.warning("apply %s was ordered a second time and is not run again", order.apply)
        return True

    def _report_dead_job(self, order: Order, summary: str) -> None:
        with self._state.lock_by_force(patience=PATIENCE_SECONDS):
            end_if_due(self._state)
            window = self._state.read_window()
            # Without a window nothing was loaded. An apply with one has its last outcome, or still waits.
            if (window is None or window.apply != order.apply) and not self._journal.settled(order.apply):
                self._journal.write(self._failed_outcome(order.apply, "report", summary))
        self.deliver()

    def _failed_outcome(self, apply: str, step: str, summary: str) -> Outcome:
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
        """Store an outcome durably. Raises OSError; a failed outcome is then at least sent."""
        try:
            self._journal.write(outcome)
        except OSError:
            if outcome.state == "failed":
                with contextlib.suppress(RedisError):
                    self._journal.send(self._connection, outcome)
            raise

    def _refuse(self, value: dict[str, object], summary: str) -> None:
        """Report that a message is not carried out as an order, if it names its apply and this host."""
        logger.warning("an order was refused: %s", summary)
        answer = replace(self._failed_outcome("", "validate", summary), event=REFUSED_EVENT)
        with contextlib.suppress(MessageError, StateError, OSError):
            answer = Outcome.from_json({**answer.to_json(), "apply": value.get("apply")})
            # A message that only names the apply of an order must not end it.
            named = answer.apply == self._state.read_last_order().apply
            if value.get("host") == self._host and not named and not self._journal.crowded():
                self._journal.write(answer)
                self.deliver()

    def _tell(self, outcome: Outcome) -> None:
        self._progress(outcome)
        if outcome.steps and outcome.steps[-1].name == "snapshot":
            # The order is accepted: the database should know, even if no other outcome ever arrives.
            with contextlib.suppress(OSError):
                self._journal.write(outcome)

    def _progress(self, outcome: Outcome) -> None:
        if not self._progress_works:
            return
        try:
            key, value = progress_key(self._host, outcome.apply), dump_json(outcome.to_json())
            self._telling.set(key, value, ex=PROGRESS_TTL_SECONDS)
        except RedisError as error:
            # One failure is enough: an apply must not wait for Redis at every step.
            self._progress_works = False
            logger.warning("the steps of the apply cannot be shown while it runs: %s", error)

    def _progress_again(self, outcome: Outcome) -> None:
        self._progress_works = True
        self._progress(outcome)

    def _store(self, snapshot: Snapshot) -> None:
        value: Any = dump_json(snapshot.to_json())
        if len(value) > MAX_SNAPSHOT_BYTES:
            logger.error("the snapshot has %d bytes; at most %d are stored", len(value), MAX_SNAPSHOT_BYTES)
            reason = sentences.SNAPSHOT_TOO_LARGE.format(bytes=len(value), most=MAX_SNAPSHOT_BYTES)
            snapshot = unread_snapshot(self._host, reason)
            value = dump_json(snapshot.to_json())
        # Stored first: a snapshot without it comes from a root worker of release 0.1.0.
        self._store_about(snapshot.taken_at)
        self._connection.set(snapshot_key(self._host), value)

    def _store_about(self, at: str) -> None:
        about = dump_json(self._about(at).to_json())
        self._connection.set(about_key(self._host), about, ex=ABOUT_TTL_SECONDS)

    def _publish_confirmed(self) -> None:
        """Store the rules of the confirmed revision for the pages, unless Redis should have them.

        A record of release 0.1.0 has none. That is stored too: Redis may have those of a window in which the
        same revision was loaded again and rolled back.
        """
        confirmed = self._monitor.confirmed()
        if confirmed is None:
            return
        if self._published[0] == confirmed.apply and boottime() < self._published[1]:
            return
        self._publish(
            LoadedRules.of(self._host, confirmed.revision, digest(confirmed.document), confirmed.loaded)
        )
        self._published = (confirmed.apply, boottime() + PUBLISH_SECONDS)

    def _publish(self, loaded: LoadedRules) -> None:
        self._connection.set(loaded_key(self._host), dump_json(loaded.to_json()))

    def introduce(self) -> None:
        """Store the version and the clock in the state directory, for readers without Redis."""
        try:
            write_durably(self._state.path / ABOUT_FILE, dump_json(self._about(utc_now()).to_json()))
        except OSError as error:
            logger.warning("%s is not written: %s", ABOUT_FILE, error)

    def _about(self, at: str) -> About:
        boot, state, signer, lists_signer = "", None, "", ""
        lists, lists_problem = self._lists.report()
        change = read_set_change(self._state)
        left_out = ""
        with contextlib.suppress(OSError):
            left_out = read_log_note(self._state)
        with contextlib.suppress(SignerError):
            signer = fingerprint(read_signer(self._signer))
        with contextlib.suppress(SignerError):
            lists_signer = fingerprint(read_signer(self._lists_signer)) if self._lists_signer else ""
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
            signer=signer,
            sets_problem=describe_binder_problem(self._state)[:MAX_PROBLEM],
            lists=lists,
            lists_problem=lists_problem[:MAX_PROBLEM],
            lists_signer=lists_signer,
            sets_changed=change.at if change else "",
            sets_change=change.text if change else "",
            log_group=None if left_out else self._log_group,
            log_problem=(left_out or self._log_problem())[:MAX_PROBLEM],
        )
