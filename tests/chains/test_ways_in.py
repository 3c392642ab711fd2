"""The ways in: external interfaces that no packet arrives on, and interfaces with packets from outside."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface, ip_network

import pytest

from dockerfw.chains import sentences
from dockerfw.chains.ways_in import WayInProblem, find_ways_in_problems, outside_interfaces
from dockerfw.document.values import Settings
from dockerfw.simulation.surroundings import HostInterface, StaticRoute, Surroundings


def link(
    name: str, *addresses: str, up: bool = True, master: str = "", kind: str = "", parent: str = ""
) -> HostInterface:
    return HostInterface(name, tuple(map(ip_interface, addresses)), up, master or None, kind, parent)


def routed(
    name: str,
    network: str,
    *addresses: str,
    gateway: bool = False,
    table: str = "",
    up: bool = True,
    kind: str = "",
) -> HostInterface:
    """Return an interface with a route to a network."""
    return replace(
        link(name, *addresses, up=up, kind=kind), routes=(StaticRoute(ip_network(network), gateway, table),)
    )


LO = link("lo", "127.0.0.1/8", "::1/128")
ENS33 = link("ens33", "192.168.1.10/24", "fe80::10/64")
DOCKER0 = link("docker0", "172.17.0.1/16", "2001:db8:d0c::1/64", kind="bridge")
VETH = link("veth1", "fe80::1/64", master="docker0", kind="veth")
HOST = Surroundings((LO, ENS33, DOCKER0, VETH), {4: ("ens33",), 6: ()})


def problems(
    around: Surroundings, *external: str, trusted: tuple[str, ...] = ("lo",), docker: bool = True
) -> list[WayInProblem]:
    settings = Settings(external_interfaces=external, trusted_interfaces=trusted)
    return list(find_ways_in_problems(settings, around, docker=docker))


def outside(around: Surroundings, *external: str) -> set[str]:
    settings = Settings(external_interfaces=external)
    return {each.name for each in outside_interfaces(settings, around)}


def host(*interfaces: HostInterface, way: str = "ens33", way6: str = "") -> Surroundings:
    return Surroundings((LO, DOCKER0, VETH, *interfaces), {4: (way,), 6: (way6,) if way6 else ()})


def test_an_external_interface_with_the_default_route_and_a_bridge_of_containers_are_well() -> None:
    assert problems(HOST, "ens33") == []
    assert outside(HOST, "ens33") == {"ens33"}


def test_no_choice_is_a_problem_where_docker_filters() -> None:
    assert problems(HOST) == [WayInProblem("no-external-interface", sentences.NO_EXTERNAL_INTERFACE)]
    assert problems(HOST, docker=False) == []
    assert outside(HOST) == {"ens33"}


def test_what_could_not_be_read_is_unknown() -> None:
    around = replace(HOST, known=False)
    assert [each.code for each in problems(around, "ens33")] == ["interfaces-unread"]
    assert outside(around, "ens33") == set()


DEFAULT = sentences.default_route("eth9", (4,))
CASES = {
    "renamed": (
        host(link("eth9", "192.168.1.10/24"), way="eth9"),
        [("interface-missing", sentences.interface_missing("ens33")), ("interface-uncovered", DEFAULT)],
        {"eth9"},
    ),
    "gone, and nothing else is there": (
        host(way=""),
        [("interface-missing", sentences.interface_missing("ens33"))],
        set(),
    ),
    "the default route moved": (
        host(ENS33, link("eth9", "10.0.0.2/24"), way="eth9"),
        [("interface-uncovered", DEFAULT)],
        {"ens33", "eth9"},
    ),
    "the IPv6 default route is elsewhere": (
        host(ENS33, link("he6", "fe80::5/64"), way6="he6"),
        [("interface-uncovered", sentences.default_route("he6", (6,)))],
        {"ens33", "he6"},
    ),
    "a port of a bridge": (
        host(
            replace(ENS33, addresses=(), master="br0"),
            link("br0", "192.168.1.10/24", kind="bridge"),
            way="br0",
        ),
        [
            ("interface-idle", sentences.is_port_of("ens33", "br0")),
            ("interface-uncovered", sentences.default_route("br0", (4,))),
        ],
        {"ens33", "br0"},
    ),
    "a port of a bond in a bridge, without a default route": (
        host(
            replace(ENS33, addresses=(), master="bond0"),
            link("bond0", master="br0", kind="bond"),
            link("br0", "192.168.1.10/24", kind="bridge"),
            way="",
        ),
        [
            ("interface-idle", sentences.is_port_of("ens33", "br0")),
            ("interface-uncovered", sentences.takes_packets_of("br0", "ens33")),
        ],
        {"ens33", "br0"},
    ),
    "a port of a VRF": (
        host(replace(ENS33, master="vrf1"), link("vrf1", kind="vrf"), way=""),
        [
            ("interface-idle", sentences.is_port_of("ens33", "vrf1")),
            ("interface-uncovered", sentences.takes_packets_of("vrf1", "ens33")),
        ],
        {"ens33", "vrf1"},
    ),
    "below a VLAN that has the addresses": (
        host(link("ens33"), link("ens33.5", "10.5.0.2/24", kind="vlan", parent="ens33"), way=""),
        [("interface-idle", sentences.addresses_on_top("ens33", "ens33.5"))],
        {"ens33"},
    ),
    "beside a macvlan in another network": (
        host(ENS33, link("mac0", "10.5.0.2/24", kind="macvlan", parent="ens33")),
        [("interface-uncovered", sentences.takes_packets_of("mac0", "ens33"))],
        {"ens33", "mac0"},
    ),
    "beside a second card in the same network": (
        host(ENS33, link("eth9", "192.168.1.11/24")),
        [("interface-uncovered", sentences.same_network("eth9", "192.168.1.0/24", "ens33"))],
        {"ens33", "eth9"},
    ),
    "beside a public address": (
        host(ENS33, link("eth9", "10.0.0.2/24", "2001:db8:9::1/64")),
        [("interface-uncovered", sentences.public_address("eth9", "2001:db8:9::1"))],
        {"ens33", "eth9"},
    ),
    "without an address, below PPPoE without a default route": (
        host(link("ens33", "fe80::10/64"), link("ppp0", "10.64.0.1/32"), way=""),
        [("interface-idle", sentences.nothing_arrives(["ens33"]))],
        {"ens33"},
    ),
    "beside a router to another network": (
        host(ENS33, routed("eth3", "10.9.0.0/16", "192.168.50.2/24", gateway=True)),
        [("interface-uncovered", sentences.static_route("eth3", "10.9.0.0/16"))],
        {"ens33", "eth3"},
    ),
    "beside a site behind a VPN": (
        host(ENS33, routed("wg0", "10.9.0.0/16", "10.8.0.1/24")),
        [("interface-uncovered", sentences.static_route("wg0", "10.9.0.0/16"))],
        {"ens33", "wg0"},
    ),
    "beside a default route in another table": (
        host(ENS33, routed("eth3", "0.0.0.0/0", "192.168.50.2/24", gateway=True, table="100")),
        [("interface-uncovered", sentences.default_route("eth3", (4,), "100"))],
        {"ens33", "eth3"},
    ),
    "beside half of the internet": (
        host(ENS33, routed("tun0", "128.0.0.0/1", "10.8.0.2/24", gateway=True)),
        [("interface-uncovered", sentences.default_route("tun0", (4,)))],
        {"ens33", "tun0"},
    ),
    "beside a VRF with a default route of its own": (
        host(
            ENS33,
            link("vrf1", kind="vrf"),
            replace(routed("eth3", "::/0", "fd00::2/64", gateway=True, table="10"), master="vrf1"),
        ),
        [("interface-uncovered", sentences.default_route("vrf1", (6,), "10"))],
        {"ens33", "vrf1"},
    ),
    "down, and another is up": (
        host(replace(ENS33, up=False), link("eth9", "10.0.0.2/24"), way=""),
        [("interface-idle", sentences.nothing_arrives(["ens33"]))],
        {"ens33"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_way_in_that_the_rules_for_containers_miss(name: str) -> None:
    around, found, ways = CASES[name]
    assert [(each.code, each.message) for each in problems(around, "ens33")] == found
    assert outside(around, "ens33") == ways


@pytest.mark.parametrize(
    "interface",
    [
        link("eth9", "10.0.0.2/24"),
        link("eth9", "2001:db8:9::1/64", up=False),
        link("dummy0", "203.0.113.7/32", kind="dummy"),
        link("tailscale0", "100.101.102.103/32", "fd7a::1/128", kind="tun"),
        link("br-0123456789ab", "172.18.0.1/16", "2001:db8:1::1/64", kind="bridge"),
        # Peers and the own network of a VPN, a cloud's private network, its metadata, a VPN in a container.
        routed("tailscale0", "100.99.1.2/32", "100.101.102.103/32", table="52"),
        routed("tailscale0", "fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::7/128", table="52"),
        routed("wg0", "10.8.0.7/32", "10.8.0.1/24"),
        routed("enp7s0", "10.0.0.0/16", "10.0.0.2/32", gateway=True),
        routed("eth3", "169.254.169.254/32", "10.0.0.2/24", gateway=True),
        routed("br-0123456789ab", "10.13.13.0/24", "172.18.0.1/16", gateway=True, kind="bridge"),
        routed("eth3", "10.9.0.0/16", "10.0.0.2/24", gateway=True, up=False),
    ],
)
def test_internal_interfaces_are_no_ways_in(interface: HostInterface) -> None:
    assert problems(host(ENS33, interface), "ens33") == []


def test_a_trusted_interface_may_have_a_public_address_but_not_the_default_route() -> None:
    wg0 = link("wg0", "2001:db8:9::1/64", kind="wireguard")
    assert problems(host(ENS33, wg0), "ens33", trusted=("lo", "wg+")) == []
    (found,) = problems(host(ENS33, wg0, way6="wg0"), "ens33", trusted=("lo", "wg+"))
    assert found.message == sentences.trusted_default_route("wg0", (6,))


def test_a_trusted_interface_may_lead_to_a_network_but_not_to_the_internet() -> None:
    site = routed("wg0", "10.9.0.0/16", "10.8.0.1/24")
    assert problems(host(ENS33, site), "ens33", trusted=("lo", "wg0")) == []
    all_of_it = routed("wg0", "0.0.0.0/0", "10.8.0.1/24", table="51820")
    (found,) = problems(host(ENS33, all_of_it), "ens33", trusted=("lo", "wg0"))
    assert found.message == sentences.trusted_default_route("wg0", (4,), "51820")


def test_a_pattern_may_stand_for_nothing_while_another_interface_is_there() -> None:
    assert problems(HOST, "ens33", "ppp+") == []
    assert [each.code for each in problems(HOST, "ppp+")] == ["interface-missing", "interface-uncovered"]


def test_interfaces_and_their_bridge_or_vlan_may_both_be_external() -> None:
    bridged = host(
        replace(ENS33, addresses=(), master="br0"), link("br0", "192.168.1.1/24", kind="bridge"), way="br0"
    )
    assert problems(bridged, "ens33", "br0") == []
    vlan = host(link("ens33"), link("ens33.5", "10.5.0.2/24", kind="vlan", parent="ens33"), way="ens33.5")
    assert problems(vlan, "ens33", "ens33.5") == []
