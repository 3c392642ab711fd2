"""The size of groups: merged networks and their addresses, as Python's ipaddress counts them too."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.chains.group_sizes import GroupSize, size_of_entries, size_of_networks
from dockerfw.document.group_words import describe_addresses


def networks(width: int, most: int) -> st.SearchStrategy[str]:
    """Draw networks that lie close together, so that many overlap or touch."""
    low = most - 12

    def make(number: int, length: int) -> str:
        kind = ipaddress.IPv4Network if width == 32 else ipaddress.IPv6Network
        base = (0xC0A80000 if width == 32 else 0x20010DB8 << 96) + number
        return str(kind((base, length), strict=False))

    return st.builds(make, st.integers(0, 2**10), st.integers(low, most))


@given(st.lists(networks(32, 32) | networks(128, 128), max_size=40))
def test_sizes_are_those_of_collapsed_networks(entries: list[str]) -> None:
    merged = []
    for version in (4, 6):
        found = [ipaddress.ip_network(each) for each in entries if (":" in each) == (version == 6)]
        merged.append([*ipaddress.collapse_addresses(found)])  # type: ignore[type-var]
    v4, v6 = merged
    expected = GroupSize(
        len(v4), len(v6), sum(each.num_addresses for each in v4), sum(each.num_addresses for each in v6)
    )
    assert size_of_entries(entries) == expected
    texts = [str(each).removesuffix("/32") for each in v4] + [str(each).removesuffix("/128") for each in v6]
    assert size_of_networks(texts) == expected


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "words"),
    [
        (0, 0, ""),
        (1, 0, "1 IPv4 address"),
        (2**16, 1, "65,536 IPv4 addresses, 1 IPv6 address"),
        (0, 2**63, f"{2**63:,} IPv6 addresses"),
        (0, 2**64, "1 × IPv6 /64"),
        (0, 3 * 2**80, "3 × IPv6 /48"),
        (0, 2**96 + 2**80, "65,537 × IPv6 /48"),
        (0, 2**96, "1 × IPv6 /32"),
        (0, 2**64 + 1, "over 1 × IPv6 /64"),
    ],
)
def test_numbers_of_addresses_in_words(ipv4: int, ipv6: int, words: str) -> None:
    assert ", ".join(describe_addresses(ipv4, ipv6)) == words
