"""`-m rpfilter`: whether a route leads back to the source by the interface that the packet came in by."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from dockerfw.iptables.model import Family
from dockerfw.simulation.surroundings import StaticRoute, Surroundings
from tests.simulation.hosts import HOST, interface, trace

YES, NO, UNKNOWN = "DROP", "ACCEPT", "UNKNOWN"
TWO_WAYS = replace(
    HOST,
    interfaces=(*HOST.interfaces, interface("eth2", "192.0.2.9/24", "198.51.100.1/32")),
    default_routes={4: ("eth0", "eth2"), 6: ()},
)
ROWS: list[tuple[str, Family, str, str, str]] = [
    # options, family, source, incoming interface, expected
    ("", 4, "192.0.2.77", "eth0", YES),
    ("", 4, "203.0.113.5", "eth0", YES),
    ("", 4, "172.17.0.9", "eth0", NO),
    ("", 4, "172.17.0.9", "docker0", YES),
    ("", 4, "192.0.2.77", "docker0", NO),
    ("--invert", 4, "192.0.2.77", "docker0", YES),
    ("--invert", 4, "192.0.2.77", "eth0", NO),
    # An interface without the default route may have routes that are not known.
    ("", 4, "203.0.113.5", "docker0", UNKNOWN),
    ("--loose", 4, "203.0.113.5", "docker0", YES),
    ("--loose", 4, "192.0.2.77", "docker0", YES),
    # The host's own addresses, and addresses that no route leads to.
    ("", 4, "192.0.2.1", "eth0", NO),
    ("--loose", 4, "172.17.0.1", "eth0", NO),
    ("--accept-local", 4, "192.0.2.1", "eth0", UNKNOWN),
    ("", 4, "192.0.2.255", "eth0", UNKNOWN),
    ("", 4, "0.0.0.0", "eth0", UNKNOWN),
    ("", 4, "127.0.0.1", "lo", YES),
    ("--validmark", 4, "192.0.2.77", "eth0", YES),
    ("", 6, "2001:db8::5", "eth0", YES),
    ("", 6, "2001:db8:9::5", "eth0", YES),
    ("", 6, "2001:db8::5", "docker0", NO),
    ("", 6, "fe80::5", "eth0", YES),
    ("", 6, "2001:db8::1", "eth0", NO),
]


EXTRA = (
    *(StaticRoute(ip_network(network), gateway=True) for network in ("10.7.0.0/16", "2001:db8:7::/48")),
    StaticRoute(ip_network("10.6.0.0/16"), table="52"),
)
ROUTED = replace(
    HOST, interfaces=(*HOST.interfaces, replace(interface("eth3", "192.168.50.2/24"), routes=EXTRA))
)
UPLINKS = replace(
    ROUTED,
    interfaces=(
        *ROUTED.interfaces,
        replace(interface("eth4"), routes=(StaticRoute(ip_network("0.0.0.0/0"), table="100"),)),
    ),
)


def answer(options: str, family: Family, source: str, device: str, host: Surroundings, **more: object) -> str:
    rules = f"*raw\n-A PREROUTING -m rpfilter {options} -j DROP\nCOMMIT\n"
    return trace(rules, family, surroundings=host, source=source, in_interface=device, **more).verdict.kind


@pytest.mark.parametrize(("options", "family", "source", "device", "expected"), ROWS)
def test_known_routes(options: str, family: Family, source: str, device: str, expected: str) -> None:
    assert answer(options, family, source, device, HOST) == expected


@pytest.mark.parametrize(
    ("source", "device", "expected"),
    [
        ("192.0.2.77", "eth0", UNKNOWN),
        ("203.0.113.5", "eth0", UNKNOWN),
        ("172.17.0.9", "eth2", NO),
        ("172.17.0.9", "docker0", YES),
    ],
)
def test_two_interfaces_with_the_same_routes(source: str, device: str, expected: str) -> None:
    assert answer("", 4, source, device, TWO_WAYS) == expected


def test_a_mark_may_choose_another_routing_table() -> None:
    assert answer("--validmark", 4, "192.0.2.77", "eth0", HOST, mark=5) == UNKNOWN
    assert answer("", 4, "192.0.2.77", "eth0", HOST, mark=5) == YES


def test_an_unknown_option_is_undecided() -> None:
    assert answer("--new", 4, "192.0.2.77", "eth0", HOST) == UNKNOWN


@pytest.mark.parametrize(
    ("host", "family", "source", "device", "expected"),
    [
        (ROUTED, 4, "10.7.0.5", "eth3", YES),
        (ROUTED, 4, "10.7.0.5", "eth0", NO),
        (ROUTED, 6, "2001:db8:7::5", "eth3", YES),
        (ROUTED, 6, "2001:db8:7::5", "eth0", NO),
        # Rules decide which table the kernel looks in.
        (ROUTED, 4, "10.6.0.5", "eth3", UNKNOWN),
        (ROUTED, 4, "10.6.0.5", "eth0", UNKNOWN),
        (ROUTED, 4, "203.0.113.5", "eth0", YES),
        (UPLINKS, 4, "203.0.113.5", "eth0", UNKNOWN),
        (UPLINKS, 4, "192.0.2.77", "eth0", YES),
    ],
)
def test_routes_to_other_networks(
    host: Surroundings, family: Family, source: str, device: str, expected: str
) -> None:
    assert answer("", family, source, device, host) == expected
