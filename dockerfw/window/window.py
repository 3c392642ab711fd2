"""How an apply ends once its rules are loaded: kept, rolled back, or given up in the middle of the load.

Job, watchdog and root worker all end a window here, under the lock of the state directory. Each reads from
the disk what is left to do. Every part may run twice and may be cut off anywhere.

An apply is kept from the moment that the boot files are switched to its set. Until then every end restores
the previous rules. From then on sessions may be ended, and whatever fails: the revision stays kept.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from dockerfw.chains.render import loaded_rendering
from dockerfw.chains.static_sets import read_sets
from dockerfw.document.stored import read_stored
from dockerfw.host.clock import boot_id, boottime, utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.hooks import checkpoint
from dockerfw.host.loading import restore_previous
from dockerfw.host.sessions import end_lost_sessions
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.outcomes import (
    Failure,
    Loaded,
    Outcome,
    OutcomeState,
    RollBack,
    RollBackReason,
    Step,
    Window,
)
from dockerfw.store.bootfiles import boot_apply, remove_old_sets, switch_boot_set, write_boot_set
from dockerfw.store.bound_sets import describe_binder_problem
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.outbox import Outbox
from dockerfw.store.records import StateError, UndoRecord, WindowRecord
from dockerfw.store.state import StateDirectory
from dockerfw.store.static_sets import drop_static_sets, sets_of_confirmed
from dockerfw.window import sentences

logger = logging.getLogger("dockerfw.window")

# The steps of an apply count events from 0, an open window from AWAITING_EVENT, and the end comes last.
AWAITING_EVENT = 100
FINAL_EVENT = 10_000
# Refused answers are counted up to here: whoever floods a window with them must not reach its last event.
REFUSALS_EVENT = 1000
# A window that is open this long after its deadline had no working watchdog.
LATE_SECONDS = 15.0


class NotOpen(HostError):  # noqa: N818 - it states a fact
    """The apply has no open window to answer; the text says why."""


def seconds_left(record: WindowRecord) -> float:
    """Return the seconds until the record's deadline; 0 when it has passed or belongs to another boot."""
    return max(0.0, record.deadline - boottime()) if record.boot == boot_id() else 0.0


def end_if_due(state: StateDirectory) -> Outcome | None:
    """End an apply whose end has come and return its last outcome; return None for any other.

    Hold the lock. The process that loads rules holds it too, so a load that is not finished is one that died.
    Raises CommandFailed, RestoreFailed, RollBackFailed, ParseError, StateError, OSError.
    """
    record = state.read_window()
    if record is None:
        return None
    if boot_apply(state.boot) == record.apply:
        return _end_kept(state, record)
    if record.boot != boot_id():
        return _end(state, _rebooted(record))
    if record.phase == "loading":
        return roll_back(state, record, "stopped")
    if seconds_left(record) > 0:
        return None
    late = boottime() - record.deadline > LATE_SECONDS
    return roll_back(state, record, "stopped" if late else "silence")


def keep(state: StateDirectory, record: WindowRecord) -> Outcome:
    """Make the record's revision the one that a boot loads, and return the last outcome.

    Hold the lock, and check first that the window is open. Raises OSError and StateError; the window is then
    as open as before.
    """
    undo = _read_undo(state, record)
    checkpoint("keep-begin")
    began = boottime()
    document = read_stored(undo.document, record.digest)
    sets = read_sets(undo.sets)
    loaded = {
        family: loaded_rendering(text, document.settings, own_jumps=family in undo.own_jumps).with_sets(sets)
        for family, text in undo.restores.items()
    }
    confirmed = ConfirmedRecord(record.apply, record.revision, undo.backend, boot_id(), document, loaded)
    written = write_boot_set(confirmed, boot=state.boot)
    checkpoint("keep-written")
    switch_boot_set(written, state.boot)
    checkpoint("keep-switched")
    step = Step("boot-files", "done", utc_now(), round(boottime() - began, 4), str(state.boot))
    return _end_kept(state, replace(record, steps=(*record.steps, step)))


def roll_back(state: StateDirectory, record: WindowRecord, reason: RollBackReason) -> Outcome:
    """Restore what the kernel held before the record's apply, and return the last outcome.

    Hold the lock. Raises what `end_if_due` raises; nothing is settled then, and a retry is safe.
    """
    undo = _read_undo(state, record)
    checkpoint("rollback-begin")
    before = {family: parse_save(text) for family, text in undo.saves.items()}
    restore_previous(undo.backend, before, undo.restores, sets_of_confirmed(state))
    checkpoint("rollback-loaded")
    return _end(state, _rolled_back(record, reason))


def extend(state: StateDirectory, record: WindowRecord, seconds: int) -> Outcome:
    """Keep the window open for `seconds` from its beginning, and return the outcome that says so.

    Hold the lock. Raises NotOpen when that would shorten the window, and OSError.
    """
    if seconds < record.seconds:
        raise NotOpen(sentences.SHORTER_WINDOW.format(now=record.seconds, seconds=seconds))
    longer = replace(record, seconds=seconds, deadline=record.opened + seconds, event=record.event + 1)
    state.write_window(longer)
    checkpoint("extend-written")
    outcome = awaiting_outcome(longer)
    Outbox(state.journal).write(outcome)
    return outcome


def awaiting_outcome(record: WindowRecord, *, error: Failure | None = None) -> Outcome:
    """Return the outcome of an open window."""
    left = round(seconds_left(record), 3)
    window = Window(utc_now(ahead=left), left, record.seconds)
    return replace(_outcome(record, "awaiting", record.event), window=window, error=error)


def refuse(state: StateDirectory, record: WindowRecord, step: str, summary: str) -> Outcome:
    """Store and return an outcome that says that an answer was refused; hold the lock.

    The window stays as it is. Never raises OSError: the window matters more than this note.
    """
    told = replace(record, event=record.event + (record.event < REFUSALS_EVENT))
    outcome = awaiting_outcome(told, error=Failure(step=step, summary=summary[:3500]))
    try:
        state.write_window(told)
        Outbox(state.journal).write(outcome)
    except OSError as error:
        logger.error("the refusal of an answer could not be stored: %s", error)
    return outcome


def describe_waiting(record: WindowRecord) -> str:
    """Return a sentence, without its full stop, on what an open window waits for and until when."""
    if record.phase == "loading":
        return sentences.IS_LOADING.format(revision=record.revision)
    left = seconds_left(record)
    until = datetime.fromisoformat(utc_now(ahead=left)).astimezone(UTC).strftime("%H:%M:%S")
    return sentences.AWAITS_CONFIRMATION.format(revision=record.revision, until=until, seconds=left)


def describe_overdue(record: WindowRecord) -> str:
    """Return which apply should have ended and did not; empty while it has time."""
    if record.boot != boot_id():
        return sentences.OVERDUE_FROM_EARLIER_BOOT.format(revision=record.revision)
    late = boottime() - record.deadline
    return sentences.OVERDUE.format(revision=record.revision, seconds=late) if late > LATE_SECONDS else ""


def _read_undo(state: StateDirectory, record: WindowRecord) -> UndoRecord:
    undo = state.read_undo()
    if undo is None or undo.apply != record.apply:
        raise StateError("the undo record does not belong to the open window")
    return undo


def _end_kept(state: StateDirectory, record: WindowRecord) -> Outcome:
    if record.end_sessions and not Outbox(state.journal).settled(record.apply):
        record = replace(record, steps=(*record.steps, _end_sessions(state, record)))
        checkpoint("sessions-ended")
    outcome = _end(state, _outcome(record, "confirmed", FINAL_EVENT))
    remove_old_sets(state.boot)
    return outcome


def _end_sessions(state: StateDirectory, record: WindowRecord) -> Step:
    """End the sessions that lost their allowance; this may be repeated after it was cut off."""
    checkpoint("sessions-begin")
    began = boottime()
    try:
        undo = state.read_undo()
        if record.boot != boot_id():
            done, detail = True, sentences.SESSIONS_ENDED_BY_REBOOT
        elif undo is None or undo.apply != record.apply:
            done, detail = False, sentences.SESSIONS_UNKNOWN
        else:
            before = {family: parse_save(text) for family, text in undo.saves.items()}
            held = read_stored(undo.held, undo.held_digest) if undo.held_digest else None
            after = read_stored(undo.document, record.digest)
            ended = end_lost_sessions(before, after, held=held, unbound=describe_binder_problem(state))
            done, detail = not (ended.problems or ended.untold), str(ended)
    # The revision is kept, and its outcome says so, whatever becomes of the sessions.
    except Exception as error:  # noqa: BLE001
        logger.warning("the sessions of apply %s continue: %s", record.apply, error)
        done, detail = False, sentences.SESSIONS_GO_ON.format(error=error)
    took = round(max(0.0, boottime() - began), 4)
    return Step("sessions", "done" if done else "failed", utc_now(), took, detail[:3500])


def _end(state: StateDirectory, outcome: Outcome) -> Outcome:
    """Settle the outcome unless the apply has one already, and close the window."""
    outbox = Outbox(state.journal)
    if not outbox.settled(outcome.apply):
        outbox.write(outcome)
    checkpoint("end-settled")
    state.close_window()
    checkpoint("end-closed")
    drop_static_sets(state)
    logger.info("apply %s: %s", outcome.apply, outcome.state)
    return outcome


def _rolled_back(record: WindowRecord, reason: RollBackReason) -> Outcome:
    if record.phase == "loading":
        failed = _outcome(record, "failed", FINAL_EVENT)
        summary = f"{sentences.LOAD_DIED} {sentences.PREVIOUS_RULES_RESTORED}"
        return replace(failed, loaded=None, error=Failure(step="report", summary=summary))
    why = {
        "asked": sentences.ROLLED_BACK_ON_REQUEST,
        "silence": sentences.NOT_KEPT_IN_TIME,
        "stopped": (
            sentences.STOPPED_BEFORE_KEEP if seconds_left(record) > 0 else sentences.NOT_KEPT_AND_STOPPED
        ),
        "rebooted": "",
    }[reason].format(revision=record.revision, seconds=record.seconds)
    outcome = _outcome(record, "rolled_back", FINAL_EVENT)
    summary = f"{why} {sentences.PREVIOUS_RULES_RESTORED}".strip()
    return replace(outcome, loaded=None, way_back=RollBack(reason, summary))


def _rebooted(record: WindowRecord) -> Outcome:
    summary = sentences.REBOOTED.format(revision=record.revision)
    if record.phase == "loading":
        failed = _outcome(record, "failed", FINAL_EVENT)
        return replace(failed, loaded=None, error=Failure(step="report", summary=summary))
    outcome = _outcome(record, "rolled_back", FINAL_EVENT)
    return replace(outcome, loaded=None, way_back=RollBack("rebooted", summary))


def _outcome(record: WindowRecord, state: OutcomeState, event: int) -> Outcome:
    return Outcome(
        apply=record.apply,
        host=record.host,
        event=event,
        state=state,
        at=utc_now(),
        steps=record.steps,
        error=None,
        loaded=Loaded(record.revision, record.digest),
    )
