"""Read what listens on a host: the sockets, published ports and containers of a snapshot."""

from __future__ import annotations

from dockerfw.messages import snapshot_values
from dockerfw.reach.listening import Listening
from rules.seen.snapshot_selectors import SnapshotView


def listening_of(view: SnapshotView) -> Listening:
    """Return everything that listens on the host according to a snapshot."""
    return snapshot_values.listening_of(view.snapshot, view.rulesets)
