"""What the services of an apply refuse. Each prints as a sentence for the page or the command line."""

from __future__ import annotations

from dockerfw.document.words import counted
from dockerfw.reach.expectations import ExpectationResult
from rules.applying.window_selectors import clock_text
from rules.models import Apply
from rules.pages.errors import ServiceError


class NothingToApply(ServiceError):  # noqa: N818
    """The kernel already holds the draft."""


class ApplyWaiting(ServiceError):  # noqa: N818
    """Another apply of the same host has not finished; `apply` says which."""

    def __init__(self, apply: Apply) -> None:
        begun = f"{apply.requested_by} started to apply revision {apply.revision.number}, which "
        if apply.state == Apply.State.AWAITING and apply.window_deadline is not None:
            text = (
                f"{begun}is loaded and waits until {clock_text(apply.window_deadline)} to be kept. "
                "Wait for that, or roll it back, then review again."
            )
        else:
            text = f"{begun}is still {apply.get_state_display()}. Wait for that, then review again."
        super().__init__(text)
        self.apply = apply


class NotExpected(ServiceError):  # noqa: N818
    """What is to be applied breaks expectations, and nobody gave a reason to do it all the same."""

    def __init__(self, broken: tuple[ExpectationResult, ...]) -> None:
        named = "; ".join(str(each) for each in broken)
        super().__init__(f"{counted(len(broken), 'expectation')} would fail. {named}.")
        self.broken = broken


class NotAwaiting(ServiceError):  # noqa: N818
    """The window of an apply is not open: not yet, or not any more."""


class NotYours(ServiceError):  # noqa: N818
    """Only the one who started an apply may keep it or make its window longer."""


class KeyRefused(ServiceError):  # noqa: N818
    """What came with a Keep does not show that the host was reached by a new connection after the load."""


class OldConnection(KeyRefused):
    """It came over a connection from before the load; the next one will be new, and the key counts still."""


class QueueUnavailable(ServiceError):  # noqa: N818
    """Redis cannot be reached, so that nothing can be handed to the root worker."""
