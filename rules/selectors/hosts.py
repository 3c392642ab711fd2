"""Read which hosts there are; with one, no page has to name it."""

from __future__ import annotations

from rules.models import Host


def many_hosts() -> bool:
    """Say whether there is more than one host, so that pages have to say which one they show."""
    return Host.objects.count() > 1
