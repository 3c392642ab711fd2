"""The groups of a document: each kind, its errors, and what refers to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dockerfw.document import sentences
from dockerfw.document.coverage import find_covered_rules
from dockerfw.document.diff import diff_documents
from dockerfw.document.document import FORMAT_1, FORMAT_2, digest, load_document, parse_document
from dockerfw.document.document import canonical_json as text_of
from dockerfw.document.groups import MAX_ENTRIES, rules_naming, validate_group
from dockerfw.document.stored import read_stored
from dockerfw.document.values import Document
from dockerfw.iptables.errors import DocumentError

FEED = {"kind": "feed", "url": "https://lists.example.org/drop.txt"}


def document(groups: dict[str, Any], *rules: dict[str, Any]) -> Document:
    """Return a document with these groups and rules."""
    return parse_document({"format": FORMAT_2, "groups": groups, "rules": list(rules)})


def errors(groups: object, *rules: dict[str, Any], layout: str = FORMAT_2) -> list[str]:
    """Return the errors of a document."""
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": layout, "groups": groups, "rules": list(rules)})
    return [str(error) for error in caught.value.errors]


def test_every_kind_is_canonical_and_reads_back() -> None:
    found = document(
        {
            "office": {
                "entries": ["2001:db8::/32", "10.1.2.3/8", "192.0.2.7", "192.0.2.7"],
                "comment": " both ",
            },
            "drop": {**FEED, "refresh_hours": 6},
            "home": {"kind": "names", "names": ["Home.Example.org.", "home.example.org"]},
            "nordic": {"kind": "countries", "countries": ["no", "SE"]},
        },
        {
            "sources": ["@office", "198.51.100.7", "@drop", "2001:db8:1::1"],
            "ports": ["22"],
            "protocol": "tcp",
        },
    )
    groups = {group.name: group for group in found.groups}
    assert list(groups) == ["drop", "home", "nordic", "office"]
    assert groups["office"].entries == ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")
    assert groups["office"].comment == "both"
    assert (groups["drop"].url, groups["drop"].refresh_hours) == (FEED["url"], 6)
    assert groups["home"].names == ("home.example.org",)
    assert groups["nordic"].countries == ("NO", "SE")
    assert found.rules[0].sources == ("198.51.100.7/32", "2001:db8:1::1/128", "@drop", "@office")
    assert found.rules[0].families == (4, 6)
    assert load_document(text_of(found)) == found
    assert read_stored(json.loads(text_of(found)), digest(found)) == found
    # Keys at their defaults are left out, so that a later key changes no digest.
    assert '"drop":{"kind":"feed","refresh_hours":6,"url":' in text_of(found)


@pytest.mark.parametrize(
    ("group", "error"),
    [
        ([], sentences.not_a_group("a list")),
        ({"kind": "list"}, "kind: " + sentences.not_one_of("list", ("static", "feed", "names", "countries"))),
        ({"url": "https://a.example"}, "url: unknown key"),
        ({"entries": ["any"]}, f"entries[0]: {sentences.EVERYONE_IN_GROUP}"),
        ({"entries": ["0.0.0.0/0"]}, f"entries[0]: {sentences.EVERYONE_IN_GROUP}"),
        ({"entries": ["@other"]}, f"entries[0]: {sentences.GROUP_IN_GROUP}"),
        ({"entries": ["192.0.2.300"]}, f"entries[0]: {sentences.not_an_address('192.0.2.300')}"),
        ({"kind": "feed"}, "url: "),
        ({"kind": "feed", "url": "ftp://a.example/x"}, f"url: {sentences.not_a_url('ftp://a.example/x')}"),
        (
            {"kind": "feed", "url": "https://a.example:0/"},
            f"url: {sentences.not_a_url('https://a.example:0/')}",
        ),
        ({"kind": "feed", "url": "https://me:pw@a.example/"}, f"url: {sentences.USER_IN_URL}"),
        ({"kind": "feed", "url": "http://a.example/x"}, f"url: {sentences.PLAIN_HTTP}"),
        ({**FEED, "refresh_hours": 0}, f"refresh_hours: {sentences.not_hours('0', 8760)}"),
        ({"kind": "names"}, f"names: {sentences.none_given('DNS names')}"),
        ({"kind": "names", "names": ["a b"]}, f"names[0]: {sentences.not_a_dns_name('a b')}"),
        ({"kind": "names", "names": ["192.0.2.1"]}, f"names[0]: {sentences.not_a_dns_name('192.0.2.1')}"),
        (
            {"kind": "countries", "countries": ["Sweden"]},
            f"countries[0]: {sentences.not_a_country('Sweden')}",
        ),
        ({"comment": "a\nb"}, "comment: character 2"),
    ],
)
def test_an_error_names_the_field(group: object, error: str) -> None:
    (found,) = errors({"office": group})
    assert found.startswith(("groups.office." + error, "groups.office: " + error))


@pytest.mark.parametrize("name", ["Office", "", "a b", "x" * 41, "-a", "@office"])
def test_a_name_that_no_source_could_write(name: str) -> None:
    (found,) = errors({name: {}})
    assert sentences.not_a_group_name(name or '""') in found


def test_a_feed_by_plain_http_needs_a_tick() -> None:
    assert validate_group("drop", {"kind": "feed", "url": "http://a.example/", "allow_http": True}).allow_http


def test_a_rule_names_only_groups_that_there_are() -> None:
    rule = {"id": "ssh1", "sources": ["@offcie"], "protocol": "tcp", "ports": ["22"]}
    hint = sentences.did_you_mean("office")
    assert errors({"office": {}}, rule) == [f"rules[0].sources: {sentences.unknown_group('@offcie', hint)}"]
    found = document({"office": {}}, {**rule, "sources": ["@office"]})
    assert [each.id for each in rules_naming(found, "office")] == ["ssh1"]


def test_the_earlier_format_has_no_groups() -> None:
    assert errors({}, layout=FORMAT_1) == [f"groups: {sentences.NEWER_KEY}"]


def test_too_many_entries_are_refused() -> None:
    half = [f"10.{a}.{b}.0/24" for a in range(256) for b in range(200)]
    assert len(half) <= MAX_ENTRIES
    (found,) = errors({"one": {"entries": half}, "two": {"entries": half}})
    assert found == f"groups: {sentences.too_many(2 * len(half), 'entries of groups', MAX_ENTRIES)}"


def test_a_rule_is_covered_through_groups() -> None:
    groups = {"office": {"entries": ["192.0.2.0/24", "198.51.100.0/24"]}, "drop": FEED}
    ssh = {"protocol": "tcp", "ports": ["22"]}

    def covered(*rules: dict[str, Any]) -> tuple[tuple[str, str], ...]:
        return find_covered_rules(document(groups, *({**ssh, **rule} for rule in rules)))

    office = {"id": "office", "sources": ["@office"]}
    assert covered(office, {"id": "one1", "sources": ["192.0.2.7"]}) == (("one1", "office"),)
    assert covered(office, {"id": "two2", "sources": ["192.0.2.7", "198.51.100.0/25"]}) == (
        ("two2", "office"),
    )
    assert covered(office, {"id": "three", "sources": ["192.0.2.7", "203.0.113.1"]}) == ()
    assert covered({"id": "drop", "sources": ["@drop", "@office"]}, {"id": "four", "sources": ["@drop"]})
    # What a feed holds is a binding: no document tells.
    assert covered({"id": "drop", "sources": ["@drop"]}, {"id": "five", "sources": ["192.0.2.7"]}) == ()
    # A block covers no allowance, and a limited or ending allowance covers no other one.
    for less in ({"action": "block"}, {"limit": "6/minute"}, {"expires": "2027-01-31T18:00:00Z"}):
        assert covered({**office, **less}, {"id": "six6", "sources": ["192.0.2.7"]}) == ()
    assert covered({**office, "limit": "6/minute"}, {**office, "id": "seven"}) == (("office", "seven"),)


def test_a_change_of_a_group_is_told() -> None:
    rule = {"id": "ssh1", "sources": ["@office"], "protocol": "tcp", "ports": ["22"]}
    old = document({"office": {"entries": ["192.0.2.0/24", "192.0.3.0/24"]}, "gone": {}}, rule)
    new = document({"office": {"entries": ["192.0.2.0/24", "192.0.4.0/24"]}, "home": {}}, rule)
    found = diff_documents(old, new)
    assert found.sentence == "1 group added, 1 removed, 1 changed"
    assert [each.name for each in found.groups] == ["gone", "home", "office"]
    assert (found.groups[2].added, found.groups[2].removed) == (("192.0.4.0/24",), ("192.0.3.0/24",))


def test_blocks_are_told_apart_from_allowances() -> None:
    block = {"action": "block", "sources": ["198.51.100.0/24"], "comment": "scanners"}
    found = diff_documents(document({}), document({}, block))
    assert found.sentence == "1 rule added; everything is blocked from 198.51.100.0/24"
    assert diff_documents(document({}, block), document({})).reach == (
        "everything is no longer blocked from 198.51.100.0/24",
    )
