"""The static sets that a host still needs: those of its confirmed revision and of an open window.

All others are destroyed, unless a rule in the kernel uses them.
"""

from __future__ import annotations

import logging

from dockerfw.chains.static_sets import StaticSet
from dockerfw.host.errors import HostError
from dockerfw.host.static_sets import destroy_static_sets, list_static_sets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.sets")


def sets_of_confirmed(state: StateDirectory) -> tuple[StaticSet, ...]:
    """Return the static sets that were loaded for the confirmed revision; none where that is not known."""
    try:
        confirmed = read_confirmed(state.boot)
    except (HostError, NetfilterError, OSError) as error:
        logger.warning("the sets of the confirmed revision cannot be read: %s", error)
        return ()
    return confirmed.sets if confirmed is not None else ()


def drop_static_sets(state: StateDirectory) -> tuple[str, ...]:
    """Destroy the static sets that no revision and no rule needs; return their names. Never raises.

    Hold the lock on the host's rules. While a window is open nothing is destroyed: its end may load the
    previous rules again.
    """
    try:
        if state.has_window() or not list_static_sets():
            return ()
        gone = destroy_static_sets({one.name for one in sets_of_confirmed(state)})
    except HostError as error:
        # Without ipset there are none. Whatever else it is, the next look tries again.
        logger.info("static sets that no rule needs stay for now: %s", error)
        return ()
    if gone:
        logger.info("%d static sets that no rule needs are destroyed", len(gone))
    return gone
