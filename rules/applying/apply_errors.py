"""The errors of the services that apply and answer, each a sentence for a page or the command line."""

from __future__ import annotations

from collections.abc import Iterable

from dockerfw.chains.refusals import Refusal, describe_refusals
from dockerfw.document.document import DocumentRule
from dockerfw.document.words import describe_count, describe_rule
from dockerfw.reach.expectations import ExpectationResult
from rules.applying.window_selectors import clock_text
from rules.models import Apply
from rules.pages.errors import ServiceError

MOST_NAMED = 5


class NothingToApply(ServiceError):  # noqa: N818
    """The kernel already holds what an apply would load."""


class ApplyWaiting(ServiceError):  # noqa: N818
    """Another apply of the same host, `apply`, has not finished."""

    def __init__(self, apply: Apply) -> None:
        number, actor = apply.revision.number, apply.requested_by
        if apply.state == Apply.State.AWAITING and apply.window_deadline is not None:
            until = clock_text(apply.window_deadline)
            text = (
                f"The apply of revision {number} by {actor} waits for confirmation until {until}. "
                "Wait until then, or roll it back, and review again."
            )
        else:
            text = (
                f"The apply of revision {number} by {actor} is {apply.get_state_display()}. "
                "Wait until it has finished and review again."
            )
        super().__init__(text)
        self.apply = apply


class NotExpected(ServiceError):  # noqa: N818
    """The apply would break expectations, and no reason was given to override them."""

    def __init__(self, broken: tuple[ExpectationResult, ...]) -> None:
        named = "; ".join(str(each) for each in broken)
        super().__init__(f"{describe_count(len(broken), 'expectation')} would fail. {named}.")
        self.broken = broken


class LoadRefused(ServiceError):  # noqa: N818
    """Loading the document over the host's rules would break something, or nobody can tell."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        super().__init__(f"Nothing was applied. {describe_refusals(refusals)}")


class EveryPort(ServiceError):  # noqa: N818
    """The apply would add `rules` that open every port, and that was not confirmed."""

    def __init__(self, rules: tuple[DocumentRule, ...]) -> None:
        named = "; ".join(describe_rule(rule) for rule in rules[:MOST_NAMED])
        more = f"; {len(rules) - MOST_NAMED} more" if len(rules) > MOST_NAMED else ""
        super().__init__(f"{describe_count(len(rules), 'new rule')} would open every port: {named}{more}.")
        self.rules = rules


class NotAwaiting(ServiceError):  # noqa: N818
    """The confirmation window of an apply is not open yet, or has ended."""


class NotYours(ServiceError):  # noqa: N818
    """Only the admin who started an apply may keep it or extend its window."""


class KeyRefused(ServiceError):  # noqa: N818
    """A Keep does not prove that a new connection reached the host after the load."""


class OldConnection(KeyRefused):
    """A Keep came over a connection from before the load; the same key is valid over the next connection."""


class QueueUnavailable(ServiceError):  # noqa: N818
    """Redis cannot be reached, so no order can be sent to the root worker."""
