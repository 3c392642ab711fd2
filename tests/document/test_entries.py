"""Finding networks in sorted lists, held against comparing every entry with ipaddress."""

from __future__ import annotations

import ipaddress
import random

import pytest

from dockerfw.document.entries import count_families, find_covering, find_inside, overlaps, read_network
from dockerfw.document.rule_fields import source_order


def networks(number: int, seed: int) -> tuple[str, ...]:
    """Return sorted networks of both families that often lie in each other."""
    chance = random.Random(seed)
    found = set()
    for _ in range(number):
        if chance.random() < 0.7:
            bits, value = 32, 0x0A000000 | chance.getrandbits(12) << chance.choice((0, 8))
        else:
            bits, value = 128, (0x20010DB8 << 96) | chance.getrandbits(12) << chance.choice((0, 60))
        length = chance.randint(bits - 24, bits)
        kind = ipaddress.IPv4Network if bits == 32 else ipaddress.IPv6Network
        found.add(str(kind((value, length), strict=False)))
    return tuple(sorted(found, key=source_order))


@pytest.mark.parametrize("seed", range(4))
def test_the_same_entries_are_found_as_by_comparing_all(seed: int) -> None:
    entries = networks(150, seed)
    parsed = [ipaddress.ip_network(each) for each in entries]
    assert count_families(entries) == (
        sum(1 for each in parsed if each.version == 4),
        sum(1 for each in parsed if each.version == 6),
    )
    for text in networks(60, seed + 100):
        asked = ipaddress.ip_network(text)
        same = [each for each in parsed if each.version == asked.version]
        covering = [str(each) for each in same if asked.subnet_of(each)]  # type: ignore[arg-type]
        inside = [str(each) for each in same if each != asked and each.subnet_of(asked)]  # type: ignore[arg-type]
        assert sorted(find_covering(entries, asked)) == sorted(covering)
        assert sorted(find_inside(entries, asked)) == sorted(inside)
        assert overlaps(entries, asked) is bool(covering or inside)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        (" 10.16.9.0/16 ", "10.16.0.0/16"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("22", None),
        ("192.0.2", None),
        ("192.0.2.0/255.255.255.0", None),
        ("192.0.2.0/33", None),
        ("office", None),
        ("", None),
    ],
)
def test_what_is_a_network(text: str, network: str | None) -> None:
    found = read_network(text)
    assert (None if found is None else str(found)) == network
