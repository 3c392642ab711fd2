"""Refused packets as a root worker adds them to a host's stream."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone

from dockerfw.messages.codec import dump_json
from dockerfw.messages.refusals import BATCH_FIELD, InnerEnd, Refusal, RefusalBatch, refusals_key
from rules.link import client

SCANNER = "203.0.113.77"


def refusal(at: datetime | None = None, **changes: Any) -> Refusal:
    """Return a refused connection to SSH from SCANNER, with changes."""
    is_6 = ":" in changes.get("source", "")
    fields: dict[str, Any] = {
        "at": time_text(at or timezone.now()),
        "family": 6 if is_6 else 4,
        "way": "host",
        "interface": "ens33",
        "source": SCANNER,
        "destination": "2001:db8::1" if is_6 else "192.0.2.1",
        "protocol": "tcp",
        "port": 22,
        "inner": None,
        "revision": 1,
        "reason": "refused",
        "count": 1,
    }
    return Refusal(**{**fields, **changes})


def forwarded(inner: str, inner_port: int, **changes: Any) -> Refusal:
    """Return a refused connection that Docker's DNAT sent to a container."""
    return refusal(way="container", inner=InnerEnd(inner, inner_port), **changes)


def refusals_add(host: str, refusals: Iterable[Refusal], *, dropped: int = 0) -> str:
    """Add one batch to a host's stream; return the id of its entry."""
    found = tuple(refusals)
    now = time_text(timezone.now())
    batch = RefusalBatch(host, now, now, found, dropped)
    return raw_add(host, dump_json(batch.to_json()))


def raw_add(host: str, data: bytes) -> str:
    """Add an entry with any data; return its id."""
    entry: Any = client.connection().xadd(refusals_key(host), {BATCH_FIELD: data})
    return str(entry.decode())


def time_text(moment: datetime) -> str:
    """Return a moment as messages write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
