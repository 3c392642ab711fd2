"""The confirmation window: how an apply ends once its rules are loaded, whoever is first to end it.

Owns the ends of an apply: kept, rolled back, or never loaded at all. Job, watchdog and worker all come here,
under the state directory's lock, and find out from the disk what there is left to do; each part may be done
twice and may be cut off anywhere. It must not know about Redis.

An apply is kept from the moment that the boot files are switched to its set. Until then every way out leads
back to what the kernel held before. From then on sessions may be ended, and whatever fails there: it is kept.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from dockerfw.document.document import parse_document
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
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.outbox import Outbox
from dockerfw.store.records import StateError, WindowRecord
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.window")

# Steps count events from 0, the open window from AWAITING_EVENT, and the end comes after all of them.
AWAITING_EVENT = 100
FINAL_EVENT = 10_000
# So long after the deadline, the watch over the window must have been broken.
LATE_SECONDS = 15.0


class NotOpen(HostError):  # noqa: N818 - it states a fact
    """There is no window of this apply that could be answered any more; the text says why."""


def seconds_left(record: WindowRecord) -> float:
    """Return how long the record's deadline is away; 0 when it has passed or belongs to another boot."""
    return max(0.0, record.deadline - boottime()) if record.boot == boot_id() else 0.0


def end_if_due(state: StateDirectory) -> Outcome | None:
    """Bring an apply to its end if its end has come, and return its last outcome, else None.

    Hold the lock for it: who loads rules holds it too, so a load that is not done is one that died. Raises
    CommandFailed, RestoreFailed, RollBackFailed, ParseError, StateError, OSError.
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

    Hold the lock, and see before that the window is open. Raises OSError and StateError: the window is then
    as open as it was.
    """
    undo = state.read_undo()
    if undo is None or undo.apply != record.apply:
        raise StateError("the way back is not that of the open window")
    checkpoint("keep-begin")
    began = boottime()
    confirmed = ConfirmedRecord(
        record.apply, record.revision, undo.backend, boot_id(), parse_document(undo.document)
    )
    written = write_boot_set(confirmed, boot=state.boot)
    checkpoint("keep-written")
    switch_boot_set(written, state.boot)
    checkpoint("keep-switched")
    step = Step("boot-files", "done", utc_now(), round(boottime() - began, 4), str(state.boot))
    return _end_kept(state, replace(record, steps=(*record.steps, step)))


def roll_back(state: StateDirectory, record: WindowRecord, reason: RollBackReason) -> Outcome:
    """Put back what the kernel held before the record's apply, and return the last outcome.

    Hold the lock for it. Raises what `end_if_due` raises: nothing is settled then, and it can be tried again.
    """
    undo = state.read_undo()
    if undo is None or undo.apply != record.apply:
        raise StateError("the way back is not that of the open window")
    checkpoint("rollback-begin")
    before = {family: parse_save(text) for family, text in undo.saves.items()}
    restore_previous(undo.backend, before, undo.restores)
    checkpoint("rollback-loaded")
    return _end(state, _rolled_back(record, reason))


def extend(state: StateDirectory, record: WindowRecord, seconds: int) -> Outcome:
    """Let the window be open for `seconds` from its beginning, and return the outcome that says so.

    Hold the lock for it. Raises NotOpen when that is not longer than now, and OSError.
    """
    if seconds < record.seconds:
        raise NotOpen(f"The window is {record.seconds} s long already: {seconds} s would be shorter.")
    longer = replace(record, seconds=seconds, deadline=record.opened + seconds, event=record.event + 1)
    state.write_window(longer)
    checkpoint("extend-written")
    outcome = awaiting(longer)
    Outbox(state.journal).write(outcome)
    return outcome


def awaiting(record: WindowRecord, *, error: Failure | None = None) -> Outcome:
    """Return the outcome of an open window."""
    left = round(seconds_left(record), 3)
    window = Window(utc_now(ahead=left), left, record.seconds)
    return replace(_outcome(record, "awaiting", record.event), window=window, error=error)


def refuse(state: StateDirectory, record: WindowRecord, step: str, summary: str) -> Outcome:
    """Keep, and return, an outcome that says that an answer was not carried out; hold the lock for it.

    The window stays as it is. Never raises OSError: the window matters more than this.
    """
    told = replace(record, event=record.event + 1)
    outcome = awaiting(told, error=Failure(step=step, summary=summary[:3500]))
    try:
        state.write_window(told)
        Outbox(state.journal).write(outcome)
    except OSError as error:
        logger.error("an answer that was refused could not be noted: %s", error)
    return outcome


def waiting_words(record: WindowRecord) -> str:
    """Say what an open window waits for, and until when."""
    if record.phase == "loading":
        return f"revision {record.revision} is being loaded"
    left = seconds_left(record)
    until = datetime.fromisoformat(utc_now(ahead=left)).astimezone(UTC).strftime("%H:%M:%S")
    waits = f"revision {record.revision} is loaded and waits to be kept"
    return f"{waits}, until {until} UTC ({left:.0f} s from now)"


def overstay_words(record: WindowRecord) -> str:
    """Say which apply should have come to its end and did not, empty while it has time."""
    if record.boot != boot_id():
        return f"that of revision {record.revision}, of an earlier boot"
    late = boottime() - record.deadline
    return (
        f"that of revision {record.revision}, whose time was over {late:.0f} s ago"
        if late > LATE_SECONDS
        else ""
    )


def _end_kept(state: StateDirectory, record: WindowRecord) -> Outcome:
    if record.end_sessions and not Outbox(state.journal).settled(record.apply):
        record = replace(record, steps=(*record.steps, _end_sessions(state, record)))
        checkpoint("sessions-ended")
    outcome = _end(state, _outcome(record, "confirmed", FINAL_EVENT))
    remove_old_sets(state.boot)
    return outcome


def _end_sessions(state: StateDirectory, record: WindowRecord) -> Step:
    """End the sessions that lost their allowance; what was cut off may be done again."""
    checkpoint("sessions-begin")
    began = boottime()
    try:
        undo = state.read_undo()
        if record.boot != boot_id():
            done, detail = True, "the host was booted meanwhile, which ended all sessions"
        elif undo is None or undo.apply != record.apply:
            done, detail = False, "what was loaded before is not known any more: no session was ended"
        else:
            before = {family: parse_save(text) for family, text in undo.saves.items()}
            ended = end_lost_sessions(before, parse_document(undo.document))
            done, detail = not ended.problems, str(ended)
    # The revision is kept, and says so, whatever becomes of the sessions.
    except Exception as error:  # noqa: BLE001
        logger.warning("the sessions of apply %s go on: %s", record.apply, error)
        done, detail = False, f"they go on: {error}"
    took = round(max(0.0, boottime() - began), 4)
    return Step("sessions", "done" if done else "failed", utc_now(), took, detail[:3500])


def _end(state: StateDirectory, outcome: Outcome) -> Outcome:
    """Settle the outcome unless another one was before, and forget the window."""
    outbox = Outbox(state.journal)
    if not outbox.settled(outcome.apply):
        outbox.write(outcome)
    checkpoint("end-settled")
    state.close_window()
    checkpoint("end-closed")
    logger.info("apply %s: %s", outcome.apply, outcome.state)
    return outcome


def _rolled_back(record: WindowRecord, reason: RollBackReason) -> Outcome:
    again = "The rules that were there before are in force again."
    if record.phase == "loading":
        why = "The process that loaded the rules died or took too long, and was ended"
        failed = _outcome(record, "failed", FINAL_EVENT)
        return replace(failed, loaded=None, error=Failure(step="report", summary=f"{why}. {again}"))
    early = f"The root worker was stopped before anybody kept revision {record.revision}"
    why = {
        "asked": "Rolled back as asked",
        "silence": f"Nobody kept revision {record.revision} within {record.seconds} s",
        "stopped": early
        if seconds_left(record) > 0
        else (
            f"Nobody kept revision {record.revision} within {record.seconds} s, and what watches the time was"
            " stopped meanwhile: it was rolled back when the root worker was there again"
        ),
        "rebooted": "",
    }[reason]
    outcome = _outcome(record, "rolled_back", FINAL_EVENT)
    return replace(outcome, loaded=None, way_back=RollBack(reason, f"{why}. {again}"))


def _rebooted(record: WindowRecord) -> Outcome:
    summary = (
        f"The host was booted before revision {record.revision} was kept: it came up with the boot files of"
        " the revision confirmed last, not with this one."
    )
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
