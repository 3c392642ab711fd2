"""Reset the last accepted sequence number, after one far ahead of the clock has ended all applies."""

from __future__ import annotations

import time

from dockerfw.agent import sentences
from dockerfw.agent.panic import LOCK_SECONDS, Done, NotDone
from dockerfw.host.files import LockHeld
from dockerfw.store.state import LastOrder, StateDirectory, StateError
from dockerfw.window.window import describe_waiting, end_if_due


def reset_sequence(state: StateDirectory) -> Done:
    """Set the number to the clock if it is ahead of it or cannot be read. Raises NotDone.

    Orders from before stay refused, because the number never falls below the time of the reset.
    """
    now = time.time_ns() // 1_000_000
    try:
        with state.lock(seconds=LOCK_SECONDS):
            if _is_behind(state, now):
                return Done(False)
            # An answer that waits has an earlier number, and would be refused.
            end_if_due(state)
            if (waiting := state.read_window()) is not None:
                raise NotDone(sentences.WINDOW_IS_OPEN.format(waiting=describe_waiting(waiting)))
            state.write_last_order(LastOrder(now, ""))
    except LockHeld as error:
        raise NotDone(str(error)) from error
    except OSError as error:
        raise NotDone(
            sentences.STATE_UNUSABLE.format(path=state.path, reason=error.strerror or error)
        ) from error
    return Done(True)


def _is_behind(state: StateDirectory, now: int) -> bool:
    try:
        return state.read_last_order().sequence <= now
    except StateError:
        return False
