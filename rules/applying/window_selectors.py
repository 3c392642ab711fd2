"""Read the open confirmation window of a host: until when what is loaded waits to be kept.

Owns how the window is told in words. Whether it is over is the host's to decide; what stands here is what the
host reported last, and the time that has passed since.
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
    """One open window; `seconds` is its whole length, extensions included."""

    deadline: datetime
    seconds: int

    @property
    def opened_at(self) -> datetime:
        """When the rules were loaded and the time began to run."""
        return self.deadline - timedelta(seconds=self.seconds)

    @property
    def seconds_left(self) -> float:
        """How long it is open yet, 0 when its time is over."""
        return max(0.0, (self.deadline - timezone.now()).total_seconds())

    @property
    def over(self) -> bool:
        """Say whether its time is over, whatever the host has made of it."""
        return self.seconds_left == 0.0

    @property
    def until(self) -> str:
        """The end as a clock shows it."""
        return clock_text(self.deadline)

    @property
    def longer(self) -> tuple[tuple[int, str], ...]:
        """The lengths that it may be given yet, each with what that adds."""
        lengths = ((self.seconds + more, f"{more // 60} min longer") for more in LONGER_BY)
        return tuple((total, text) for total, text in lengths if total <= MOST_CONFIRM_SECONDS)


def window_view(window: Window) -> WindowView:
    """Return a reported window."""
    return WindowView(deadline=datetime.fromisoformat(window.deadline), seconds=window.seconds)


def stored_window(apply: Apply) -> WindowView | None:
    """Return the window of an apply as the database knows it, None when it is not awaiting confirmation."""
    if apply.state != Apply.State.AWAITING or apply.window_deadline is None:
        return None
    return WindowView(deadline=apply.window_deadline, seconds=apply.window_seconds)


def clock_text(moment: datetime) -> str:
    """Return a moment as a clock shows it in the configured zone, with the zone's name."""
    local = timezone.localtime(moment)
    return f"{local:%H:%M:%S} {local.tzname() or 'UTC'}"
