"""Read what takes packets on a host: sockets, published ports, containers, as they were seen."""

from __future__ import annotations

from dockerfw.messages import snapshot_values
from dockerfw.messages.snapshot_values import containers_of as containers_of
from dockerfw.reach.listening import Listening
from rules.seen.snapshot_selectors import SnapshotView


def listening_of(view: SnapshotView) -> Listening:
    """Return all that takes packets on the host, as it was seen."""
    return snapshot_values.listening_of(view.snapshot, view.rulesets[4])
