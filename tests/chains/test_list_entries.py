"""Lists of networks: what is read, what is refused, how they are printed and compared."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.chains import list_entries
from dockerfw.chains.list_entries import (
    ListRefused,
    compare_lists,
    count_networks,
    list_of_networks,
    network_texts,
    parse_list,
)
from dockerfw.simulation.addresses import AddressSet

MIXED = b"""\xef\xbb\xbf# a comment in latin-1: \xe9
192.0.2.0/25 ; SBL1
192.0.2.128/25
198.51.100.7
198.51.100.8 - 198.51.100.11
203.0.113.99/24   # host bits
2001:DB8::/33
2001:db8:8000::/33
2001:db8:f::1-2001:db8:f::1
"""


def test_a_list_is_collapsed_and_printed_as_ipset_does() -> None:
    found = parse_list(MIXED)
    assert found.to_text().split() == [
        *("192.0.2.0/24", "198.51.100.7", "198.51.100.8/30", "203.0.113.0/24"),
        "2001:db8::/32",
    ]
    assert (found.widest(4), found.widest(6)) == (24, 33)
    assert parse_list(found.to_text().encode()).v4 == found.v4


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no networks"),
        (b"# nothing\n\n", "no networks"),
        (b"  <!DOCTYPE html><html></html>", "web page"),
        (b"\x1f\x8b\x00\x00", "not text"),
        (b"192.0.2.1\nError: quota exceeded\n", "Line 2, 'Error: quota exceeded'"),
        (b"192.0.2.256", "Line 1"),
        (b"192.0.2.0/33", "Line 1"),
        (b"192.0.02.1", "Line 1"),
        (b"192.0.2.9 - 192.0.2.1", "Line 1"),
        (b"192.0.2.1 - 2001:db8::1", "Line 1"),
        (b"fe80::1%eth0", "Line 1"),
        (b"2001:db8::/129", "Line 1"),
        (b'{"prefixes": []}', "Line 1"),
        ("１92.0.2.1".encode(), "Line 1"),
    ],
)
def test_what_is_no_list_is_refused_with_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(ListRefused, match=says):
        parse_list(data)


def test_a_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_entries, "MOST_ENTRIES", 3)
    parse_list(b"192.0.2.1\n" * 3)
    with pytest.raises(ListRefused, match="more than 3 entries"):
        parse_list(b"192.0.2.1\n" * 4)
    monkeypatch.setattr(list_entries, "MOST_BYTES", 5)
    with pytest.raises(ListRefused, match="more than 5 bytes"):
        parse_list(b"192.0.2.1\n")


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**12))))
def test_the_fewest_networks_are_those_of_the_standard_library(pairs: list[tuple[int, int]]) -> None:
    found = AddressSet.from_intervals(4, [(a, min(a + b, 2**32 - 1)) for a, b in pairs])
    texts = list(network_texts(found))
    assert texts == [str(network).removesuffix("/32") for network in found.networks()]
    assert count_networks(found) == len(texts)


@given(st.lists(st.ip_addresses(v=6), max_size=20))
def test_ipv6_networks_are_those_of_the_standard_library(addresses: list[ipaddress.IPv6Address]) -> None:
    found = list_of_networks(map(str, addresses))
    assert list(found.texts(6)) == [
        str(network).removesuffix("/128")
        for network in ipaddress.collapse_addresses(map(ipaddress.IPv6Network, addresses))
    ]


def test_everything_is_one_network() -> None:
    assert list(network_texts(AddressSet.everything(4))) == ["0.0.0.0/0"]
    assert list(network_texts(AddressSet.everything(6))) == ["::/0"]


def test_two_versions_are_compared_by_network_and_by_address() -> None:
    former = list_of_networks(["192.0.2.0/24", "198.51.100.7"])
    new = list_of_networks(["192.0.2.0/25", "198.51.100.7", "203.0.113.1"])
    change = compare_lists(former, new, 4)
    assert (change.added, change.removed) == (2, 1)
    assert (change.addresses_before, change.addresses_after) == (257, 130)
    assert compare_lists(former, new, 6) == compare_lists(former, former, 6)
