"""Read what the root worker last saw of a host.

Owns the snapshot's way from Redis to parsed rulesets, which are cached in this process by their digest. A Redis that
is down is an answer with a sentence, never an exception: pages still open.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from django.utils import timezone

from rules.models import Host
from rules.netfilter.errors import ParseError
from rules.netfilter.model import Family, Ruleset
from rules.netfilter.parse import parse_save
from rules.queue import client
from rules.queue.orders import OrderError, Snapshot, load_json

FRESH_SECONDS = 15.0
CACHED = 6

logger = logging.getLogger(__name__)
_lock = Lock()
_views: OrderedDict[tuple[str, str], SnapshotView] = OrderedDict()
_rulesets: OrderedDict[str, Mapping[Family, Ruleset]] = OrderedDict()


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """A snapshot with its saves parsed; `saves` hold the counters of that moment."""

    snapshot: Snapshot
    rulesets: Mapping[Family, Ruleset]
    taken_at: datetime

    @property
    def age(self) -> float:
        """Seconds since the root worker looked."""
        return max(0.0, (timezone.now() - self.taken_at).total_seconds())

    @property
    def stale(self) -> bool:
        """Say whether it is too old to stand for what the kernel holds now."""
        return self.age > FRESH_SECONDS


@dataclass(frozen=True, slots=True)
class Look:
    """The last snapshot, or a sentence why there is none."""

    view: SnapshotView | None
    problem: str


def latest_snapshot(host: Host) -> SnapshotView | None:
    """Return the last snapshot, None when there is none that can be read; `look` says why."""
    return look(host).view


def look(host: Host) -> Look:
    """Return the last snapshot of a host, or the sentence that a page shows instead."""
    try:
        data = client.snapshot_read(host.name)
    except client.QueueError as error:
        return Look(None, str(error))
    if data is None:
        return Look(None, "The root worker has not reported yet what the kernel holds.")
    try:
        return Look(_view(host, data), "")
    except (OrderError, ParseError) as error:
        logger.warning("snapshot of %s cannot be read: %s", host.name, error)
        return Look(None, f"What the root worker reported cannot be read: {error}")


def observe_request(host: Host) -> bool:
    """Ask the root worker for a new snapshot, at most once a second for all viewers; say whether this call asked."""
    try:
        return client.observe_send(host.name)
    except client.QueueError:
        return False


def previous_snapshot(host: Host, taken_at: str) -> SnapshotView | None:
    """Return the snapshot that a viewer saw last, if this process still remembers it."""
    with _lock:
        return _views.get((host.name, taken_at))


def _view(host: Host, data: bytes) -> SnapshotView:
    snapshot = Snapshot.from_json(load_json(data))
    if snapshot.host != host.name:
        raise OrderError(f"it is a snapshot of {snapshot.host}")
    key = (host.name, snapshot.taken_at)
    with _lock:
        if key in _views:
            return _views[key]
    view = SnapshotView(
        snapshot=snapshot,
        rulesets=_rulesets_of(snapshot),
        taken_at=datetime.fromisoformat(snapshot.taken_at),
    )
    with _lock:
        _views[key] = view
        while len(_views) > CACHED:
            _views.popitem(last=False)
    return view


def _rulesets_of(snapshot: Snapshot) -> Mapping[Family, Ruleset]:
    with _lock:
        known = _rulesets.get(snapshot.sha256)
    if known is not None:
        return known
    parsed: dict[Family, Ruleset] = {4: parse_save(snapshot.saves[4]), 6: parse_save(snapshot.saves[6])}
    with _lock:
        _rulesets[snapshot.sha256] = parsed
        while len(_rulesets) > CACHED:
            _rulesets.popitem(last=False)
    return parsed
