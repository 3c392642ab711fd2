"""Read what the frame of every page shows of the draft."""

from __future__ import annotations

from rules.draft.draft_selectors import pending_diff
from rules.models import Host


def pending_facts(host: Host) -> dict[str, object]:
    """Return the number of changes that are not applied yet."""
    return {"pending": pending_diff(host).count}
