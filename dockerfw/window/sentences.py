"""Sentences about the confirmation window that admins read: in outcomes, answers, findings and logs."""

from __future__ import annotations

from typing import Final

PREVIOUS_RULES_RESTORED: Final = "The previous rules are restored."
LOAD_DIED: Final = "The process that loaded the rules died or timed out."

ROLLED_BACK_ON_REQUEST: Final = "Rolled back on request."
NOT_KEPT_IN_TIME: Final = "Revision {revision} was not kept within {seconds} s."
STOPPED_BEFORE_KEEP: Final = "The root worker was stopped before revision {revision} was kept."
NOT_KEPT_AND_STOPPED: Final = (
    "Revision {revision} was not kept within {seconds} s, and the watchdog was stopped meanwhile. The root"
    " worker rolled it back when it started again."
)
REBOOTED: Final = (
    "The host rebooted before revision {revision} was kept. It started with the boot files of the last"
    " confirmed revision, not with this one."
)

IS_LOADING: Final = "Revision {revision} is being loaded"
AWAITS_CONFIRMATION: Final = (
    "Revision {revision} is loaded and waits for confirmation until {until} UTC ({seconds:.0f} s left)"
)
OVERDUE_FROM_EARLIER_BOOT: Final = "that of revision {revision}, from an earlier boot"
OVERDUE: Final = "that of revision {revision}, whose time ended {seconds:.0f} s ago"

SHORTER_WINDOW: Final = "The window already lasts {now} s, so {seconds} s would shorten it."
ANSWER_REFUSED: Final = "The answer {answer!r} is refused: {reason}"
ANSWER_IS_OLD: Final = "its sequence number {sequence} is below {last}, the last one that was accepted"
ANSWER_IS_AHEAD: Final = (
    "its sequence number {sequence} is more than {minutes} minutes ahead of this host's clock"
)
ANSWER_FOR_OTHER_HOST: Final = "the answer is for the host {named!r}, and this is {host!r}"
NO_OPEN_WINDOW: Final = "apply {apply} has no open window"
KEEP_FAILED: Final = (
    "The revision is not kept because its boot files could not be written: {error}. The window is still open."
    " The previous rules return at its end unless you click Keep again"
)
EXTEND_FAILED: Final = "The window is not extended: {error}"
ROLL_BACK_FAILED: Final = "Rolling back failed and is retried: {error}"

SESSIONS_ENDED_BY_REBOOT: Final = "the host rebooted meanwhile, which ended all sessions"
SESSIONS_UNKNOWN: Final = "the previous rules are not known any more, so no session was ended"
SESSIONS_GO_ON: Final = "they continue: {error}"
