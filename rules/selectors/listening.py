"""Read what takes packets on a host: sockets, published ports, containers, as they were seen."""

from __future__ import annotations

from rules.netfilter.simulation.listening import Listening
from rules.queue import sight
from rules.queue.sight import containers_of as containers_of
from rules.selectors.snapshots import SnapshotView


def listening_of(view: SnapshotView) -> Listening:
    """Return all that takes packets on the host, as it was seen."""
    return sight.listening_of(view.snapshot, view.rulesets[4])
