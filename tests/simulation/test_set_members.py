"""The members of an ipset: what `ipset save` prints, networks inside networks, and the ids on them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.iptables.model import Family
from dockerfw.simulation.set_members import (
    Member,
    combine_members,
    covering_texts,
    ids_of,
    member_addresses,
    read_member,
)
from dockerfw.simulation.surroundings import IpSet

START = int(IPv4Address("203.0.113.0"))


def interval(network: str) -> tuple[int, int]:
    found = ip_network(network)
    return int(found.network_address), int(found.broadcast_address)


@pytest.mark.parametrize(
    ("family", "text", "network", "counts"),
    [
        (4, "203.0.113.5", "203.0.113.5/32", True),
        (4, "203.0.113.0/24", "203.0.113.0/24", True),
        (4, "203.0.113.0/24 nomatch", "203.0.113.0/24", False),
        (4, "203.0.113.0/24 timeout 30 nomatch packets 3 bytes 180", "203.0.113.0/24", False),
        (4, '203.0.113.0/24 packets 3 bytes 180 comment "dockerfw:a1c2 k3f9"', "203.0.113.0/24", True),
        (4, '203.0.113.0/24 comment "not a nomatch entry"', "203.0.113.0/24", True),
        (4, '203.0.113.0/24 nomatch comment "nomatch"', "203.0.113.0/24", False),
        (6, "2001:db8::/32 nomatch", "2001:db8::/32", False),
        (6, "2001:db8::5", "2001:db8::5/128", True),
        (6, "::ffff:10.1.2.0/120", "::ffff:a01:200/120", True),
    ],
)
def test_a_member(family: Family, text: str, network: str, counts: bool) -> None:
    assert read_member(text, family) == (*interval(network), counts)


@pytest.mark.parametrize(
    ("family", "text"),
    [
        *(
            (4, text)
            for text in ("", "203.0.113", "203.0.113.256", "203.0.113.5/33", "203.0.113.05", "2001:db8::5")
        ),
        *((6, text) for text in ("", "203.0.113.5", "2001:db8::/129", "2001:db8:::5", ":", "fe80::1%eth0")),
        (4, "२०३.0.113.5"),
    ],
)
def test_no_member(family: Family, text: str) -> None:
    assert read_member(text, family) is None


def test_a_range() -> None:
    assert read_member("203.0.113.5-203.0.113.9", 4) == (START + 5, START + 9, True)


networks = st.tuples(st.integers(24, 32), st.integers(0, 255)).map(
    lambda pair: IPv4Network((START + pair[1], pair[0]), strict=False)
)


@given(st.dictionaries(networks, st.booleans(), max_size=40))
def test_the_smallest_network_with_an_address_decides(found: dict[IPv4Network, bool]) -> None:
    members: list[Member] = [(int(each[0]), int(each[-1]), counts) for each, counts in found.items()]
    combined = combine_members(4, members)
    for value in range(START, START + 256):
        inside = [each for each in found if IPv4Address(value) in each]
        smallest = max(inside, key=lambda each: each.prefixlen, default=None)
        assert combined.holds(value) == (smallest is not None and found[smallest])


STATIC = IpSet(
    "dockerfw4-s0123456789abcdef0123",
    "hash:net",
    (
        '203.0.113.0/24 packets 0 bytes 0 comment "a1c2 k3f9"',
        '203.0.113.5 packets 3 bytes 180 comment "b2d3"',
        '203.0.112.0/23 comment "wide"',
        "203.0.113.128/25 nomatch",
        "198.51.100.0/24",
    ),
    "family inet",
)


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ("203.0.113.5", ("b2d3",)),
        ("203.0.113.6", ("a1c2", "k3f9")),
        ("203.0.112.6", ("wide",)),
        ("203.0.113.200", ()),
        ("198.51.100.7", ()),
        ("192.0.2.1", ()),
        ("2001:db8::1", ()),
    ],
)
def test_the_ids_of_the_smallest_network(source: str, ids: tuple[str, ...]) -> None:
    assert ids_of(STATIC, ip_address(source)) == ids


def test_a_set_with_unknown_members_names_no_ids() -> None:
    assert ids_of(IpSet("large", "hash:net", None), ip_address("203.0.113.5")) == ()


def test_every_network_with_an_address_as_ipset_prints_it() -> None:
    assert list(covering_texts(ip_address("203.0.113.5")))[:3] == [
        "203.0.113.5",
        "203.0.113.4/31",
        "203.0.113.4/30",
    ]
    assert "203.0.0.0/16" in covering_texts(ip_address("203.0.113.5"))
    assert next(covering_texts(ip_address("2001:db8::5"))) == "2001:db8::5"
    assert "::ffff:10.1.2.0/120" in covering_texts(ip_address("::ffff:10.1.2.3"))
    assert "::/0" in covering_texts(ip_address("2001:db8::5"))


def test_a_large_set_is_read_once() -> None:
    members = tuple(f"10.{one}.{two}.0/24" for one in range(64) for two in range(0, 256, 2))
    one, other = (IpSet(name, "hash:net", tuple(members), "family inet") for name in ("one", "other"))
    assert member_addresses(one, 4) is member_addresses(other, 4)
    assert member_addresses(IpSet("odd", "hash:net", (*members, "x"), "family inet"), 4) is None
