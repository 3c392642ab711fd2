"""No verdict is claimed that Docker's nftables tables may change, or of packets that pass by this host."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dockerfw.chains.render import render_restore
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach import sentences
from dockerfw.reach.elsewhere import admit_elsewhere, containers_past_host, why_past_host
from dockerfw.reach.listening import Listener, Listening, RunningContainer
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import prepare, simulate
from dockerfw.simulation.surroundings import HostInterface
from dockerfw.simulation.trace import Trace
from tests.rig.docker_world import LISTENING, OUTSIDE, SURROUNDINGS, WEB
from tests.rig.documents import document

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
NFTABLES = replace(LISTENING, published=(), by_nftables=True)
UNNAMED = replace(NFTABLES, containers=None)
PLAIN = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
PROXY = Listener(4, "tcp", None, 8080, process="docker-proxy")


def trace(port: int, listening: Listening, destination: str) -> Trace:
    packet = Packet(
        family=4,
        source=ip_address("198.51.100.7"),
        destination=ip_address(destination),
        protocol=6,
        in_interface="ens33",
        source_port=40_000,
        destination_port=port,
    )
    load = render_restore(document(SSH), 4, live=parse_save(PLAIN), containers=True)
    prepared = prepare(parse_restore(PLAIN + load, family=4), SURROUNDINGS, 4)
    return admit_elsewhere(simulate(prepared, packet), listening, SURROUNDINGS)


def verdict(port: int, listening: Listening, destination: str = "192.0.2.1") -> str:
    found = trace(port, listening, destination).verdict
    assert (found.reason == sentences.RULES_IN_NFTABLES) == (found.kind == "UNKNOWN")
    return found.kind


@pytest.mark.parametrize(
    ("port", "listening", "kind"),
    [
        # Docker translates what it publishes before the rules of the host could refuse it.
        (8080, NFTABLES, "UNKNOWN"),
        (8080, replace(UNNAMED, listeners=(PROXY,)), "UNKNOWN"),
        (22, NFTABLES, "ACCEPT"),
        (3306, NFTABLES, "REJECT"),
        # Without Docker's answer a free port may be a container's, one of a program is not.
        (3306, UNNAMED, "UNKNOWN"),
        (22, UNNAMED, "ACCEPT"),
        (8080, replace(NFTABLES, by_nftables=False), "REJECT"),
    ],
)
def test_a_port_that_a_container_may_publish_is_unknown(port: int, listening: Listening, kind: str) -> None:
    assert verdict(port, listening) == kind


def test_what_iptables_refuses_on_the_way_to_a_container_is_refused() -> None:
    inside = str(WEB.addresses[0])
    assert verdict(80, NFTABLES, inside) == "REJECT"


@pytest.mark.parametrize(
    ("destination", "kind"),
    [
        # A neighbour of the clients, such as a macvlan container: nothing of this host sees the packets.
        ("192.0.2.50", "UNKNOWN"),
        # A container that no bridge here leads to.
        ("10.20.0.5", "UNKNOWN"),
        ("203.0.113.9", "REJECT"),
        ("172.17.0.3", "REJECT"),
        ("192.0.2.1", "REJECT"),
    ],
)
def test_packets_that_pass_by_this_host_are_unknown(destination: str, kind: str) -> None:
    elsewhere = RunningContainer("00000000000a", "apart", addresses=(ip_address("10.20.0.5"),))
    found = trace(3306, replace(LISTENING, containers=(elsewhere,)), destination).verdict
    assert found.kind == kind
    both = replace(LISTENING, containers=(WEB, elsewhere))
    (apart,) = containers_past_host(both, SURROUNDINGS, OUTSIDE)
    assert apart.container.name == "apart"
    named = sentences.past_this_host(ip_address(destination), "ens33")
    assert found.reason == (named if kind == "UNKNOWN" else "")


def test_a_bridge_of_the_host_is_crossed_and_not_passed_by() -> None:
    bridge = replace(SURROUNDINGS.interfaces[1], name="br0", kind="bridge")
    around = replace(SURROUNDINGS, interfaces=(bridge,), default_routes={4: ("br0",)})
    inside = ip_address("192.0.2.50")
    assert why_past_host(4, inside, "br0", around, container=True) == ""
    plain = replace(around, interfaces=(replace(bridge, kind=""),))
    assert why_past_host(4, inside, "br0", plain, container=False)
    tap = HostInterface("tap0", (), True, master="br0")
    bridging = replace(plain, interfaces=(*plain.interfaces, tap))
    assert why_past_host(4, inside, "br0", bridging, container=False) == ""
