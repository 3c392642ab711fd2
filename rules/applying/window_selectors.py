"""Read the open confirmation window of a host: how long the loaded rules wait for confirmation.

The host decides when it ends. This is the host's last report and the time that has passed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from dockerfw.messages.outcomes import MOST_CONFIRM_SECONDS, Window
from rules.models import Apply

LONGER_BY = (60, 300, 900)


@dataclass(frozen=True, slots=True)
class WindowView:
    """One open window; `seconds` is its whole length with all extensions."""

    deadline: datetime
    seconds: int

    @property
    def opened_at(self) -> datetime:
        """The time of the load."""
        return self.deadline - timedelta(seconds=self.seconds)

    @property
    def seconds_left(self) -> float:
        """The seconds until its end, 0 after it."""
        return max(0.0, (self.deadline - timezone.now()).total_seconds())

    @property
    def percent_left(self) -> int:
        """The part of the window that is left, in percent."""
        return min(100, round(100 * self.seconds_left / self.seconds)) if self.seconds else 0

    @property
    def over(self) -> bool:
        """Return True if its time has passed, whatever the host has done."""
        return self.seconds_left == 0.0

    @property
    def until(self) -> str:
        """The end as a time of day."""
        return clock_text(self.deadline)

    @property
    def longer(self) -> tuple[tuple[int, str], ...]:
        """The lengths to which it may be extended, each with the added time."""
        lengths = ((self.seconds + more, f"{more // 60} min longer") for more in LONGER_BY)
        return tuple((total, text) for total, text in lengths if total <= MOST_CONFIRM_SECONDS)


def window_view(window: Window) -> WindowView:
    """Return a window that the root worker reported."""
    return WindowView(deadline=datetime.fromisoformat(window.deadline), seconds=window.seconds)


def stored_window(apply: Apply) -> WindowView | None:
    """Return the window of an apply from the database, None when it does not wait for confirmation."""
    if apply.state != Apply.State.AWAITING or apply.window_deadline is None:
        return None
    return WindowView(deadline=apply.window_deadline, seconds=apply.window_seconds)


def clock_text(moment: datetime) -> str:
    """Return the time of day in the configured zone, with the zone's name."""
    local = timezone.localtime(moment)
    return f"{local:%H:%M:%S} {local.tzname() or 'UTC'}"
