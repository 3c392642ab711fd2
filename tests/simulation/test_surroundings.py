"""Routing: a destination leads to the host itself, to an interface, or is unknown."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dockerfw.iptables.model import Family
from dockerfw.simulation.surroundings import Surroundings
from tests.simulation.hosts import HOST, interface


@pytest.mark.parametrize(
    ("destination", "in_interface", "way"),
    [
        ("192.0.2.1", "eth0", "local"),
        ("172.17.0.1", "eth0", "local"),
        ("127.0.0.9", "eth0", "local"),
        ("192.0.2.7", "docker0", "eth0"),
        ("172.17.3.4", "eth0", "docker0"),
        ("10.9.0.1", "eth0", "eth0"),
        ("8.8.8.8", None, "eth0"),
        ("192.0.2.255", "eth0", "local"),
        # A host takes packets to the broadcast address of any of its networks.
        ("192.0.2.255", "docker0", "local"),
        ("192.0.2.255", None, None),
        ("255.255.255.255", "eth0", "local"),
        ("255.255.255.255", None, "eth0"),
        ("224.0.0.1", "eth0", "local"),
        ("239.1.2.3", "eth0", None),
        ("2001:db8::1", "eth0", "local"),
        ("::1", "lo", "local"),
        ("fe80::1", "eth0", "local"),
        ("fe80::2", "eth0", "eth0"),
        ("fe80::1", "docker0", None),
        ("fe80::1", None, "local"),
        ("fe80::2", None, None),
        ("febf::2", "eth0", None),
        ("fe80::", "eth0", "local"),
        ("fe80::", None, None),
        ("ff02::1", "eth0", "local"),
        ("ff02::2", "eth0", None),
        ("fd00:17::5", "eth0", "docker0"),
        ("2001:db8:5::1", "docker0", "eth0"),
        ("2001:db8::", "eth0", "local"),
        ("2001:db8::", "docker0", "local"),
        ("2001:db8::", None, None),
    ],
)
def test_routes(destination: str, in_interface: str | None, way: str | None) -> None:
    address = ip_address(destination)
    family: Family = 4 if address.version == 4 else 6
    assert HOST.route(family, address, in_interface) == way


def test_a_link_local_address_is_the_hosts_own_on_its_link_only() -> None:
    inside = replace(interface("veth1", master="bridge"), kind="veth")
    host = Surroundings(
        (interface("a", "fe80::1/64"), interface("bridge", "fe80::2/64"), inside), {6: ("a",)}
    )
    ways = {
        address: [host.route(6, ip_address(address), name) for name in ("a", "bridge", "veth1", "lo")]
        for address in ("fe80::1", "fe80::2", "fe80::3")
    }
    assert ways == {
        "fe80::1": ["local", "bridge", "bridge", "local"],
        "fe80::2": ["a", "local", "local", "local"],
        "fe80::3": ["a", "bridge", "bridge", None],
    }


def test_a_multicast_group_leads_to_the_host_on_the_interface_that_joined_it() -> None:
    groups = (ip_address("239.1.2.3"), ip_address("ff02::fb"))
    joined = replace(interface("a", "10.0.0.1/8", "2001:db8::1/64"), groups=groups)
    host = Surroundings((joined, interface("b", "10.1.0.1/16")), {4: ("a",)})
    assert [host.route(4, groups[0], name) for name in ("a", "b", None)] == ["local", None, None]
    assert [host.route(6, groups[1], name) for name in ("a", "b", None)] == ["local", None, None]


def test_the_smallest_network_wins_and_two_routes_are_unknown() -> None:
    host = Surroundings(
        (interface("a", "10.0.0.1/8"), interface("b", "10.1.0.1/16"), interface("c", "10.1.0.2/16")),
        {4: ("a", "b")},
    )
    assert host.route(4, ip_address("10.2.0.9"), None) == "a"
    assert host.route(4, ip_address("10.1.0.9"), None) is None
    assert host.route(4, ip_address("192.0.2.1"), None) is None
    assert host.route(6, ip_address("2001:db8::1"), None) is None
