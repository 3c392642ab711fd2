"""The judge of lists: what a poisoned, broken or lost list may do."""

from __future__ import annotations

import pytest

from dockerfw.chains.group_sets import group_definition
from dockerfw.chains.list_entries import NO_NETWORKS, NetworkList, list_of_networks
from dockerfw.chains.list_judgement import Uses, choose_members, find_misuse, judge_list
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document, GroupKind
from dockerfw.simulation.addresses import AddressSet

ALLOW, BLOCK, BOTH, UNUSED = Uses(allow=True), Uses(block=True), Uses(allow=True, block=True), Uses()


def networks(*texts: str) -> NetworkList:
    return list_of_networks(texts)


def hosts(count: int) -> NetworkList:
    return networks(*(f"192.0.2.{2 * number}" for number in range(count)))


@pytest.mark.parametrize(
    ("texts", "uses", "state"),
    [
        (("0.0.0.0/1",), ALLOW, "refused"),
        (("2001::/20",), ALLOW, "refused"),
        (("192.0.2.0/24", "8.0.0.0/7"), BOTH, "refused"),
        (("8.0.0.0/8", "2001:d00::/24"), ALLOW, "accepted"),
        (("224.0.0.0/3",), BLOCK, "accepted"),
        (("0.0.0.0/1", "128.0.0.0/1"), BLOCK, "refused"),
        # Neighbours count together. Many networks with gaps count by their addresses.
        (("8.0.0.0/8", "9.0.0.0/8"), ALLOW, "refused"),
        (("9.0.0.0/8", "10.0.0.0/8"), ALLOW, "accepted"),
        (("8.0.0.0/8", "9.0.0.0/8"), BLOCK, "accepted"),
        (tuple(f"{first}.0.0.1-{first}.255.255.255" for first in range(120)), ALLOW, "accepted"),
        (tuple(f"{first}.0.0.1-{first}.255.255.255" for first in range(130)), ALLOW, "refused"),
        (tuple(f"{first}.0.0.0/8" for first in range(130)), UNUSED, "held"),
        (tuple(f"{first}.0.0.0/8" for first in range(130)), BLOCK, "accepted"),
    ],
)
def test_the_first_version(texts: tuple[str, ...], uses: Uses, state: str) -> None:
    found = judge_list("feed", networks(*texts), None, uses)
    assert (found.state, bool(found.reason)) == (state, state != "accepted")


@pytest.mark.parametrize("kind", ["feed", "countries"])
@pytest.mark.parametrize(
    ("before", "after", "uses", "state"),
    [
        (10, 13, ALLOW, "accepted"),
        (10, 14, ALLOW, "held"),
        (10, 14, BOTH, "held"),
        (10, 14, UNUSED, "held"),
        (10, 14, BLOCK, "accepted"),
        (10, 7, ALLOW, "accepted"),
        (10, 6, ALLOW, "held"),
        (10, 6, BLOCK, "held"),
        (10, 0, BLOCK, "refused"),
        (10, 0, ALLOW, "refused"),
    ],
)
def test_a_list_that_grows_or_shrinks(
    kind: GroupKind, before: int, after: int, uses: Uses, state: str
) -> None:
    assert judge_list(kind, hosts(after), hosts(before), uses).state == state


def test_a_family_that_vanishes_or_appears_counts_too() -> None:
    both, one = networks("192.0.2.1", "2001:db8::1"), networks("192.0.2.1")
    assert judge_list("feed", one, both, BLOCK).state == "held"
    assert judge_list("feed", both, one, ALLOW).state == "held"


def test_each_answer_for_a_name_replaces_the_former_one() -> None:
    for new, former in ((NO_NETWORKS, hosts(3)), (hosts(9), hosts(1)), (hosts(1), None), (NO_NETWORKS, None)):
        assert judge_list("names", new, former, ALLOW).state == "accepted"


def test_a_country_may_have_neighbours_that_were_joined() -> None:
    assert judge_list("countries", networks("6.0.0.0/7"), None, ALLOW).state == "accepted"


def test_a_block_spares_private_and_own_addresses_and_counts_them() -> None:
    found = choose_members(
        "feed",
        networks("10.0.0.0/8", "198.51.100.0/30", "203.0.113.9", "2001:db8::9", "fe80::/10"),
        BLOCK,
        {4: AddressSet.of(4, ["198.51.100.1"]), 6: AddressSet.of(6, ["2001:db8::9"])},
    )
    assert found.v4 == ("198.51.100.0", "198.51.100.2/31", "203.0.113.9")
    assert found.v6 == ()
    assert (found.spared4, found.spared6, found.problem) == (2, 2, "")


def test_an_allowance_spares_nothing() -> None:
    found = choose_members("names", networks("192.168.1.5"), ALLOW, {4: AddressSet.of(4, ["192.168.1.5"])})
    assert (found.v4, found.spared4) == (("192.168.1.5",), 0)


def test_a_wide_block_list_becomes_nothing_once_an_allowance_uses_it() -> None:
    wide = networks("224.0.0.0/3")
    assert choose_members("feed", wide, BLOCK, {}).v4[0] == "240.0.0.0/5"
    found = choose_members("feed", wide, BOTH, {})
    assert (found.v4, found.v6) == ((), ())
    assert "/3" in found.problem


def document(action: str = "allow", **group: object) -> Document:
    return parse_document(
        {
            "format": "dockerfw/2",
            "settings": {"external_interfaces": ["ens33"]},
            "groups": {"partners": group},
            "rules": [{"scope": "host", "action": action, "sources": ["@partners"], "id": "a1b2"}],
        }
    )


@pytest.mark.parametrize(
    ("group", "action", "texts", "words"),
    [
        ({"kind": "feed", "url": "https://example.org/x"}, "allow", ("0.0.0.0/1",), "prefix of /1"),
        ({"kind": "feed", "url": "https://example.org/x"}, "block", ("224.0.0.0/3",), ""),
        ({"kind": "names", "names": ["home.example.org"]}, "allow", ("192.0.2.0/24",), ""),
        ({"kind": "names", "names": ["home.example.org"]}, "allow", ("192.0.2.0/23",), "at most 256"),
        ({"kind": "names", "names": ["home.example.org"]}, "allow", ("2001:db8::/64",), "at most 256"),
        ({"kind": "names", "names": ["a.example.org", "b.example.org"]}, "allow", ("192.0.2.0/23",), ""),
        ({"kind": "names", "names": ["home.example.org"]}, "block", ("198.0.0.0/8",), ""),
        ({"kind": "countries", "countries": ["SE"]}, "allow", ("6.0.0.0/7",), ""),
    ],
)
def test_a_host_refuses_a_list_that_its_rules_cannot_mean(
    group: dict[str, object], action: str, texts: tuple[str, ...], words: str
) -> None:
    wanted = document(action, **group)
    found = find_misuse({group_definition(wanted.groups[0]): networks(*texts)}, [wanted])
    assert words in found
    assert bool(found) == bool(words)
    assert not found or "@partners" in found
    assert find_misuse({"0" * 20: networks("0.0.0.0/1")}, [wanted]) == ""
