"""The way of forwarded packets to dockerfw's chains: by DOCKER-USER, or by dockerfw's own jumps in FORWARD.

Docker calls DOCKER-USER from FORWARD, but not in a family that it does not filter (ip6tables or iptables
off), and Docker 20.10 never for IPv6. There FORWARD needs own jumps, one for each external interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dockerfw.chains.names import DOCKER, DOCKER_USER, FILTERS_CONTAINERS, FORWARD, PANIC, body
from dockerfw.iptables.model import Ruleset

_NEVER_ACCEPTING: Final = ("DROP", "REJECT", "LOG", "NFLOG", FILTERS_CONTAINERS, PANIC)
_ESTABLISHED: Final = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"

Jumps = Mapping[str, tuple[str, ...]]
"""The anchors by the chain that they are in, each without `-A CHAIN`."""


def docker_user_jumped(live: Ruleset) -> bool:
    """Return True if FORWARD jumps to DOCKER-USER."""
    forward = live.chain("filter", FORWARD)
    return forward is not None and any(body(rule) == f"-j {DOCKER_USER}" for rule in forward.rules)


def lost_docker_user(live: Ruleset) -> bool:
    """Return True if Docker filters here and FORWARD calls neither DOCKER-USER nor dockerfw's chains.

    Docker 20.10 takes its call out for about 10 ms whenever it creates a network or starts.
    """
    docker = live.chain("filter", DOCKER) is not None
    return docker and not docker_user_jumped(live) and not _has_own_jump(live)


def add_own_jumps(jumps: Jumps, live: Ruleset | None, *, containers: bool = False) -> Jumps:
    """Return the anchors that a family needs, given those that it needs with any live rules.

    `containers` is True if container networks here have addresses of the family. None is a host whose FORWARD
    calls DOCKER-USER.
    """
    recorded = bool(jumps.get(FORWARD))
    needed = live is not None and _needs_own_jumps(live, containers=containers or recorded)
    return {**jumps, FORWARD: jumps.get(DOCKER_USER, ()) if needed else ()}


def _needs_own_jumps(live: Ruleset, *, containers: bool) -> bool:
    # A jump that is there stays until DOCKER-USER is called first: containers come and go.
    if _has_own_jump(live):
        return not _is_called_first(live)
    return not docker_user_jumped(live) and (containers or live.chain("filter", DOCKER) is not None)


def _is_called_first(live: Ruleset) -> bool:
    """Return True if no rule of FORWARD can accept a packet before DOCKER-USER."""
    forward = live.chain("filter", FORWARD)
    for rule in forward.rules if forward else ():
        if body(rule) == f"-j {DOCKER_USER}":
            return True
        target = rule.target.name if rule.target else ""
        if target not in (*_NEVER_ACCEPTING, "") and body(rule) != _ESTABLISHED:
            return False
    return False


def _has_own_jump(live: Ruleset) -> bool:
    forward = live.chain("filter", FORWARD)
    return forward is not None and any(
        body(rule).endswith(f" -j {FILTERS_CONTAINERS}") for rule in forward.rules
    )
