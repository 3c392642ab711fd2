"""Carry out an answer to an open window: keep, roll back, extend.

Owns the checks of an answer, from scratch, whoever sent it: the worst that a valid answer can do is to end a
window as an admin may. It must not know about Redis, jobs or databases.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from datetime import UTC, datetime

from dockerfw.host.clock import boottime
from dockerfw.host.errors import HostError
from dockerfw.host.hooks import checkpoint
from dockerfw.iptables.errors import NetfilterError
from dockerfw.messages.orders import Answer, why_expired
from dockerfw.messages.outcomes import Outcome
from dockerfw.store.bootfiles import boot_apply
from dockerfw.store.records import WindowRecord
from dockerfw.store.state import LastOrder, StateDirectory
from dockerfw.window.window import NotOpen, end_if_due, extend, keep, refuse, roll_back

logger = logging.getLogger("dockerfw.answers")

# A rehearsal may hold the lock for a while, and the queue is one after the other anyway.
LOCK_SECONDS = 20.0


def carry_out(answer: Answer, state: StateDirectory, *, host: str) -> Outcome:
    """Do what the answer says and return the outcome that tells of it, which is in the outbox.

    Raises NotOpen when there is no window that it could answer, and LockHeld, StateError, OSError.
    """
    if answer.host != host:
        raise NotOpen(f"the answer is for the host {answer.host!r}; this is {host!r}")
    with state.lock(seconds=LOCK_SECONDS):
        ended = end_if_due(state)
        if ended is not None and ended.apply == answer.apply:
            return ended
        record = state.read_window()
        if record is None or record.apply != answer.apply:
            raise NotOpen(f"apply {answer.apply} has no open window (any more)")
        checkpoint("answer-begin")
        why = _why_refused(answer, state)
        if why is not None:
            return refuse(state, record, answer.answer, f"The answer {answer.answer!r} is not taken: {why}")
        return _carry_out(answer, state, record)


def _why_refused(answer: Answer, state: StateDirectory) -> str | None:
    expired = why_expired(answer.issued_at, datetime.now(UTC))
    if expired is not None:
        return expired
    last = state.read_last_order()
    # The very same answer may come twice, when a worker was stopped in the middle of it.
    if answer.sequence < last.sequence or (answer.sequence == last.sequence and answer.apply != last.apply):
        return f"its sequence number {answer.sequence} is below {last.sequence}, the last one that was let in"
    return None


def _carry_out(answer: Answer, state: StateDirectory, record: WindowRecord) -> Outcome:
    try:
        begun = LastOrder(answer.sequence, answer.apply)
        if answer.answer == "rollback":
            # Going back is safe even when nothing can be written any more.
            with contextlib.suppress(OSError):
                state.write_last_order(begun)
            return roll_back(state, record, "asked")
        state.write_last_order(begun)
        checkpoint("answer-begun")
        if answer.seconds is not None:
            return extend(state, record, answer.seconds)
        return keep(state, record)
    except NotOpen as error:
        return refuse(state, record, answer.answer, str(error))
    except (HostError, NetfilterError, OSError) as error:
        logger.error("the answer %r to apply %s failed: %s", answer.answer, answer.apply, error)
        if boot_apply(state.boot) == answer.apply:
            # It is kept. Only its last word could not be written: the worker goes on trying.
            raise
        if answer.answer == "rollback":
            record = replace(record, deadline=boottime())
            return refuse(state, record, "rollback", f"Rolling back failed and is tried again: {error}")
        return refuse(state, record, answer.answer, _not_done(answer, error))


def _not_done(answer: Answer, error: Exception) -> str:
    if answer.answer == "keep":
        return (
            f"The revision is not kept: its boot files could not be written: {error}. The window is still"
            " open; without another answer the rules from before come back"
        )
    return f"The window is not extended: {error}"
