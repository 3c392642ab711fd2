"""Answers to an open window: keep, roll back, extend.

An answer is checked completely, whatever its sender. The worst that a valid answer can do is to end a window
as an admin may.
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
from dockerfw.window import sentences
from dockerfw.window.window import NotOpen, end_if_due, extend, keep, refuse, roll_back

logger = logging.getLogger("dockerfw.answers")

# A rehearsal may hold the lock for a while, and the queue runs one job at a time anyway.
LOCK_SECONDS = 20.0


def carry_out(answer: Answer, state: StateDirectory, *, host: str, fault: str | None = None) -> Outcome:
    """Do what the answer says and return its outcome, which is in the outbox.

    With `fault`, the reason why it does not come from the dashboard, it is refused. Raises NotOpen when the
    answer fits no open window, and LockHeld, StateError, OSError.
    """
    if answer.host != host:
        raise NotOpen(sentences.ANSWER_FOR_OTHER_HOST.format(named=answer.host, host=host))
    with state.lock(seconds=LOCK_SECONDS):
        ended = end_if_due(state)
        if ended is not None and ended.apply == answer.apply:
            return ended
        record = state.read_window()
        if record is None or record.apply != answer.apply:
            raise NotOpen(sentences.NO_OPEN_WINDOW.format(apply=answer.apply))
        checkpoint("answer-begin")
        reason = fault or _reason_to_refuse(answer, state)
        if reason is not None:
            summary = sentences.ANSWER_REFUSED.format(answer=answer.answer, reason=reason)
            return refuse(state, record, answer.answer, summary)
        return _carry_out(answer, state, record)


def _reason_to_refuse(answer: Answer, state: StateDirectory) -> str | None:
    expired = why_expired(answer.issued_at, datetime.now(UTC))
    if expired is not None:
        return expired
    last = state.read_last_order()
    # The very same answer may arrive twice, when a worker was stopped in the middle of it.
    if answer.sequence < last.sequence or (answer.sequence == last.sequence and answer.apply != last.apply):
        return sentences.ANSWER_IS_OLD.format(sequence=answer.sequence, last=last.sequence)
    return None


def _carry_out(answer: Answer, state: StateDirectory, record: WindowRecord) -> Outcome:
    try:
        accepted = LastOrder(answer.sequence, answer.apply)
        if answer.answer == "rollback":
            # Rolling back is safe even when nothing can be written any more.
            with contextlib.suppress(OSError):
                state.write_last_order(accepted)
            return roll_back(state, record, "asked")
        state.write_last_order(accepted)
        checkpoint("answer-begun")
        if answer.seconds is not None:
            return extend(state, record, answer.seconds)
        return keep(state, record)
    except NotOpen as error:
        return refuse(state, record, answer.answer, str(error))
    except (HostError, NetfilterError, OSError) as error:
        logger.error("the answer %r to apply %s failed: %s", answer.answer, answer.apply, error)
        if boot_apply(state.boot) == answer.apply:
            # It is kept. Only its last outcome could not be written, and the worker retries that.
            raise
        if answer.answer == "rollback":
            # The watchdog and the supervisor end it from now on.
            record = replace(record, deadline=boottime())
            return refuse(state, record, "rollback", sentences.ROLL_BACK_FAILED.format(error=error))
        failed = sentences.KEEP_FAILED if answer.answer == "keep" else sentences.EXTEND_FAILED
        return refuse(state, record, answer.answer, failed.format(error=error))
