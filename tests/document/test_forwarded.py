"""Rules for forwarded traffic among others: which covers which, how a change reads, and in one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from dockerfw.document.coverage import covers, find_covered_rules
from dockerfw.document.diff import diff_documents
from dockerfw.document.document import Document, validate_rule
from dockerfw.document.every_port import new_every_port_rules
from dockerfw.document.words import describe_rule
from tests.rig.documents import document, documents

VMS: dict[str, Any] = {
    "id": "vms1",
    "scope": "forwarded",
    "to": "192.168.122.0/24",
    "protocol": "tcp",
    "ports": ["22"],
}
ONE = {**VMS, "id": "one1", "to": "192.168.122.10"}
ALL = {"protocol": "any", "ports": []}


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (VMS, ONE),
        ({**VMS, **ALL}, ONE),
        (VMS, {**VMS, "source": "10.0.0.0/8"}),
        ({**VMS, "source": "0.0.0.0/0"}, VMS),
        ({**VMS, "source": "::/0", "to": "2001:db8::/32"}, {**VMS, "to": "2001:db8::7"}),
        # Rules for containers match every forwarded packet with the dialled port.
        ({**VMS, "scope": "container", "to": ""}, VMS),
        ({**VMS, "scope": "both", "to": ""}, VMS),
    ],
)
def test_what_a_rule_covers(wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    one, other = (validate_rule({**rule, "id": name}) for rule, name in ((wide, "wide"), (narrow, "narrow")))
    assert covers(one, other)
    found = find_covered_rules(document({**wide, "id": "wide"}, {**narrow, "id": "narrow"}))
    # Of two rules that match the same packets, only the later is covered.
    assert found in ((("narrow", "wide"),), (("wide", "narrow"),))


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (ONE, VMS),
        (VMS, {**VMS, "to": "192.168.123.0/24"}),
        (VMS, {**VMS, "to": "2001:db8::/32"}),
        (VMS, {**VMS, "port_kind": "container"}),
        (VMS, {**VMS, "scope": "container", "to": ""}),
        (VMS, {**VMS, "scope": "both", "to": ""}),
        (VMS, {**VMS, "scope": "host", "to": ""}),
        ({**VMS, "scope": "host", "to": ""}, VMS),
    ],
)
def test_what_a_rule_does_not_cover(wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    assert not covers(validate_rule(wide), validate_rule(narrow))
    assert ("narrow", "wide") not in find_covered_rules(
        document({**wide, "id": "wide"}, {**narrow, "id": "narrow"})
    )


@given(documents(max_rules=12))
def test_the_index_finds_every_covered_rule(wanted: Document) -> None:
    enabled = [rule for rule in wanted.rules if rule.enabled]
    found = {narrow for narrow, _ in find_covered_rules(wanted)}
    for at, narrow in enumerate(enabled):
        wider = [
            wide
            for place, wide in enumerate(enabled)
            if wide is not narrow and covers(wide, narrow) and (place < at or not covers(narrow, wide))
        ]
        # With several ranges of ports joined, the index may miss a cover. It never invents one.
        assert narrow.id not in found or wider
        if not narrow.ports:
            assert (narrow.id in found) == bool(wider)


def test_a_change_names_the_destination() -> None:
    found = diff_documents(document(), document(VMS))
    assert found.sentence == "1 rule added; 22/tcp becomes reachable from anywhere at 192.168.122.0/24"
    found = diff_documents(document(VMS), document({**VMS, "to": "192.168.122.10"}))
    assert found.sentence == "1 rule changed; 22/tcp is no longer reachable from anywhere at 192.168.122.0/24"
    both = {"id": "both", "scope": "both", "protocol": "tcp", "ports": ["22"]}
    found = diff_documents(document(), document(both, VMS))
    assert found.reach == ("22/tcp becomes reachable from anywhere",)


def test_a_rule_is_described_with_its_destination() -> None:
    values: tuple[dict[str, Any], ...] = ({}, {"to": "192.168.122.10", "port_kind": "container"}, ALL)
    assert [describe_rule(validate_rule({**VMS, **value})) for value in values] == [
        "22/tcp from anywhere to 192.168.122.0/24, forwarded",
        "22/tcp from anywhere to 192.168.122.10, forwarded, ports at the destination",
        "everything from anywhere to 192.168.122.0/24, forwarded",
    ]


def test_every_port_of_another_destination_is_new() -> None:
    before, after = document({**VMS, **ALL}), document({**VMS, **ALL, "to": "192.168.0.0/16"})
    assert [rule.id for rule in new_every_port_rules(before, after)] == ["vms1"]
    assert new_every_port_rules(after, before) == ()
