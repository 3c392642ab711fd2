"""Read what the frame of every page shows of applies: an unfinished one, and its open window."""

from __future__ import annotations

from rules.applying.apply_selectors import unfinished_view
from rules.models import Host


def apply_facts(host: Host) -> dict[str, object]:
    """Return if an apply is unfinished, and the apply and window that wait for confirmation, else None."""
    unfinished = unfinished_view(host)
    waiting = unfinished if unfinished is not None and unfinished.window is not None else None
    return {
        "unfinished": unfinished is not None,
        "open_apply": waiting.apply if waiting else None,
        "open_window": waiting.window if waiting else None,
    }
