"""Read whether the root worker of a host reports, so that an apply would be carried out at once."""

from __future__ import annotations

from rules.applying.frame_selectors import SILENT_SECONDS
from rules.pages.wording import describe_age
from rules.seen.snapshot_selectors import Look


def describe_silence(seen: Look) -> str:
    """Return why an apply would wait for the root worker, empty while it reports."""
    if seen.view is None:
        return seen.problem
    if seen.view.age < SILENT_SECONDS:
        return ""
    return f"The root worker has not reported for {describe_age(seen.view.age)}."
