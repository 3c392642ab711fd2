"""Bridge ports: rules see them only if br_netfilter is active, as observed on a real kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockerfw.simulation.simulate import simulate
from dockerfw.simulation.surroundings import Surroundings
from dockerfw.simulation.trace import Trace
from tests.simulation.hosts import FILTERED as FILTERED_HOST
from tests.simulation.hosts import HOST, UNFILTERED, filtered, interface, packet, prepared

MORE_PORTS = tuple(interface(name, master="docker0", kind="veth") for name in ("veth2", "veth3"))
FILTERED = replace(FILTERED_HOST, interfaces=(*FILTERED_HOST.interfaces, *MORE_PORTS))
TO_NEIGHBOUR = {"in_interface": "veth1", "source": "172.17.0.2", "destination": "172.17.0.3"}
TO_HOST = {"in_interface": "veth1", "source": "172.17.0.2"}
OUTWARDS = {"in_interface": "veth1", "source": "172.17.0.2", "destination": "198.51.100.9"}
FROM_OUTSIDE: dict[str, str] = {"destination": "172.17.0.2"}
YES, NO, UNKNOWN = "DROP", "ACCEPT", "UNKNOWN"


@pytest.mark.parametrize(
    ("match", "changes", "expected"),
    [
        ("--physdev-in veth1", TO_HOST, YES),
        ("--physdev-in veth+", OUTWARDS, YES),
        ("--physdev-in veth2", TO_HOST, NO),
        ("! --physdev-in veth1", TO_HOST, NO),
        ("--physdev-in veth1", FROM_OUTSIDE, NO),
        ("--physdev-in veth1", {**TO_HOST, "in_interface": "docker0"}, UNKNOWN),
        ("--physdev-is-in", TO_HOST, YES),
        ("! --physdev-is-in", FROM_OUTSIDE, YES),
        ("--physdev-is-bridged", TO_NEIGHBOUR, YES),
        ("--physdev-is-out", TO_NEIGHBOUR, YES),
        ("--physdev-is-bridged", TO_HOST, NO),
        ("--physdev-is-bridged", OUTWARDS, NO),
        ("--physdev-is-bridged", FROM_OUTSIDE, NO),
        ("! --physdev-is-bridged", OUTWARDS, YES),
        ("--physdev-in veth1 --physdev-is-bridged", TO_NEIGHBOUR, YES),
        ("--physdev-out veth2", TO_NEIGHBOUR, UNKNOWN),
        ("--physdev-out veth+", TO_NEIGHBOUR, YES),
        ("--physdev-out eth0", TO_NEIGHBOUR, NO),
        ("--physdev-out veth2", FROM_OUTSIDE, NO),
    ],
)
def test_rules_see_ports_if_bridges_are_filtered(match: str, changes: dict[str, str], expected: str) -> None:
    assert verdict_of_match(FILTERED, match, changes) == expected


@pytest.mark.parametrize(
    ("match", "changes", "expected"),
    [
        ("--physdev-in veth1", TO_HOST, NO),
        ("! --physdev-is-in", OUTWARDS, YES),
        ("--physdev-is-bridged", OUTWARDS, NO),
    ],
)
def test_rules_see_no_ports_if_bridges_are_not_filtered(
    match: str, changes: dict[str, str], expected: str
) -> None:
    assert verdict_of_match(UNFILTERED, match, changes) == expected


def test_packets_across_an_unfiltered_bridge_skip_all_rules() -> None:
    drop = filtered("-A FORWARD -j DROP")
    found = send_packet(drop, UNFILTERED, TO_NEIGHBOUR)
    assert (found.verdict.kind, found.verdict.step, found.out_interface) == ("ACCEPT", None, "docker0")
    assert [step.outcome for step in found.steps] == ["routed"]
    assert send_packet(drop, FILTERED, TO_NEIGHBOUR).verdict.kind == "DROP"
    assert send_packet(drop, UNFILTERED, OUTWARDS).verdict.kind == "DROP"


def test_ports_are_unknown_if_bridge_filtering_is_unknown() -> None:
    assert verdict_of_match(HOST, "--physdev-in veth1", TO_HOST) == UNKNOWN
    assert verdict_of_match(HOST, "--physdev-is-bridged", TO_NEIGHBOUR) == UNKNOWN
    assert verdict_of_match(HOST, "--physdev-in veth1", FROM_OUTSIDE) == NO


def verdict_of_match(surroundings: Surroundings, match: str, changes: dict[str, str]) -> str:
    """Return the verdict if the only rule drops packets with this match."""
    rules = filtered(*(f"-A {chain} -m physdev {match} -j DROP" for chain in ("INPUT", "FORWARD")))
    return send_packet(rules, surroundings, changes).verdict.kind


def send_packet(rules: str, surroundings: Surroundings, changes: dict[str, str]) -> Trace:
    """Send the default packet with these changes."""
    return simulate(prepared(rules, 4, surroundings), packet(4, **changes))
