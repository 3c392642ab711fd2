"""The formats of a document: the oldest that can say it is written, and each is read by its own keys."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given

from dockerfw.document import sentences
from dockerfw.document.document import (
    FORMAT_1,
    FORMAT_2,
    Document,
    canonical_json,
    digest,
    load_document,
    parse_document,
    to_json_object,
)
from dockerfw.document.formats import FORMATS
from dockerfw.document.rule_fields import LATEST
from dockerfw.document.stored import read_stored
from dockerfw.iptables.errors import DocumentError
from tests.rig.documents import document, documents

VM = {"id": "vmssh", "scope": "forwarded", "to": "192.168.122.10", "protocol": "tcp", "ports": ["22"]}


def errors(layout: object, *rules: dict[str, Any]) -> list[str]:
    """Return every error of a document with these rules."""
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": layout, "rules": list(rules)})
    return [str(error) for error in caught.value.errors]


def test_a_document_without_anything_new_keeps_its_bytes_and_its_digest() -> None:
    plain = document({"id": "sshd", "scope": "host", "protocol": "tcp", "ports": ["22"]})
    text = (
        '{"format":"dockerfw/1","rules":[{"comment":"","enabled":true,"id":"sshd","port_kind":"published",'
        '"ports":["22"],"protocol":"tcp","scope":"host","source":"any"}],"settings":{"external_interfaces":'
        '["ens33"],"icmp":"accept","refuse":"reject","trusted_interfaces":["lo"]}}'
    )
    assert canonical_json(plain) == text
    assert digest(plain) == hashlib.sha256(text.encode()).hexdigest()


def test_the_same_rules_have_the_same_digest_in_either_format() -> None:
    rules = ({"scope": "both", "source": "192.0.2.0/24"}, {"scope": "host"})
    older = parse_document({"format": FORMAT_1, "rules": list(rules)})
    newer = parse_document({"format": FORMAT_2, "rules": [{"sources": ["192.0.2.0/24"]}, {"scope": "host"}]})
    assert newer == older
    assert digest(newer) == digest(older)


def test_a_newer_document_leaves_out_keys_at_their_defaults() -> None:
    found = document(VM, {"id": "web1", "scope": "both", "source": "192.0.2.0/24"}, external_interfaces=[])
    assert to_json_object(found) == {
        "format": "dockerfw/2",
        "rules": [
            {"id": "web1", "sources": ["192.0.2.0/24"]},
            {
                "id": "vmssh",
                "scope": "forwarded",
                "to": "192.168.122.10/32",
                "protocol": "tcp",
                "ports": ["22"],
            },
        ],
    }


@given(documents())
def test_every_document_is_read_as_it_was_written(wanted: Document) -> None:
    value = to_json_object(wanted)
    settings = wanted.settings
    newer = settings.containers_reach_host == "allow" or not settings.log_refused
    newer = newer or any(rule.to for rule in wanted.rules)
    assert value["format"] == (FORMAT_2 if newer else FORMAT_1)
    assert parse_document(value) == wanted
    assert load_document(canonical_json(wanted)) == wanted
    assert read_stored(json.loads(canonical_json(wanted)), digest(wanted)) == wanted


def test_a_stored_newer_document_is_not_validated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [{"port": 22, "passes": True}, {"protocol": "icmp", "passes": False, "source": "10.0.0.0/8"}]
    values = [{**VM, "sources": ["192.0.2.0/24"]}, {"scope": "host", "protocol": "icmp", "id": "ping"}]
    found = parse_document({"format": FORMAT_2, "rules": values, "expectations": expected})
    written = json.loads(canonical_json(found))
    monkeypatch.setattr("dockerfw.document.stored.parse_document", None)
    assert read_stored(written, digest(found)) == found


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"scope": "both", "sources": []}, f"rules[0].sources: {sentences.NEWER_KEY}"),
        ({"scope": "both", "to": "192.0.2.1"}, f"rules[0].to: {sentences.NEWER_KEY}"),
        ({"scope": "forwarded"}, f"rules[0].scope: {sentences.NEWER_SCOPE}"),
        ({}, f"rules[0].scope: {sentences.MISSING_SCOPE}"),
    ],
)
def test_the_earlier_format_names_the_format_that_has_the_key(rule: dict[str, Any], error: str) -> None:
    assert errors(FORMAT_1, rule) == [error]


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"source": "any"}, f"source: {sentences.ONE_SOURCE}"),
        ({"sources": "192.0.2.1"}, f"sources: {sentences.not_a_list_of_sources('192.0.2.1')}"),
        ({"sources": ["nowhere"]}, f"sources[0]: {sentences.not_an_address('nowhere')}"),
        ({"scope": "forwarded"}, f"to: {sentences.MISSING_DESTINATION}"),
        ({"scope": "forwarded", "to": "any"}, f"to: {sentences.EVERY_DESTINATION}"),
        ({"scope": "forwarded", "to": "::/0"}, f"to: {sentences.EVERY_DESTINATION}"),
        ({"scope": "forwarded", "to": 7}, f"to: {sentences.not_an_address('7')}"),
        (
            {"scope": "forwarded", "to": "10.0.0.0/8", "sources": ["2001:db8::/32"]},
            f"to: {sentences.families_differ('2001:db8::/32', '10.0.0.0/8')}",
        ),
        (
            {"scope": "forwarded", "to": "10.0.0.0/8", "protocol": "ipv6-icmp"},
            f"protocol: {sentences.icmpv6_over_ipv4('10.0.0.0/8', 'destination')}",
        ),
        ({"sources": ["192.0.2.1", "any"]}, f"sources[1]: {sentences.ANY_AMONG_SOURCES}"),
        ({"sources": ["@Not a group"]}, f"sources[0]: {sentences.not_a_group_name('@Not a group')}"),
        ({"sources": ["@office"]}, f"sources: {sentences.unknown_group('@office', '')}"),
        ({"limit": "6"}, f"limit: {sentences.not_a_limit('6')}"),
        ({"limit": "0/minute"}, f"limit: {sentences.limit_out_of_range(0, 10_000)}"),
        ({"expires": "tomorrow"}, f"expires: {sentences.not_a_time('tomorrow')}"),
        (
            {"expires": "2027-01-31T18:00:00"},
            f"expires: {sentences.time_without_zone('2027-01-31T18:00:00')}",
        ),
        (
            {"expires": "2038-01-19T03:14:08Z"},
            f"expires: {sentences.time_out_of_range('2038-01-19T03:14:08Z', LATEST)}",
        ),
        (
            {"starts": "2027-02-01T00:00:00Z", "expires": "2027-01-31T18:00:00Z"},
            f"expires: {sentences.ends_before_it_starts('2027-02-01T00:00:00Z')}",
        ),
        ({"tags": ["no blanks"]}, f"tags[0]: {sentences.not_a_tag('no blanks', 32)}"),
        ({"owner": "x" * 101}, f"owner: {sentences.text_too_long(101, 100)}"),
        ({"container": "db"}, f"container: {sentences.CONTAINER_OF_OTHER_SCOPE}"),
        ({"container": "a b"}, f"container: {sentences.not_a_container_selector('a b')}"),
        (
            {"scope": "container", "container": "db", "protocol": "dccp", "ports": ["1"]},
            f"protocol: {sentences.protocol_of_container('dccp')}",
        ),
        (
            {"scope": "container", "container": "db", "protocol": "tcp"},
            f"ports: {sentences.PORTS_OF_CONTAINER_MISSING}",
        ),
        ({"interface": "wg0"}, f"interface: {sentences.not_external('wg0', '')}"),
        ({"action": "block"}, f"sources: {sentences.BLOCKS_EVERYTHING}"),
        (
            {"action": "block", "sources": ["192.0.2.1"], "limit": "6/minute"},
            f"limit: {sentences.LIMIT_ON_BLOCK}",
        ),
    ],
)
def test_an_error_of_the_newer_format_names_the_field(rule: dict[str, Any], error: str) -> None:
    assert errors(FORMAT_2, rule) == [f"rules[0].{error}"]


def test_only_a_host_that_does_not_log_needs_the_newer_format_for_that() -> None:
    off = parse_document({"format": FORMAT_2, "settings": {"log_refused": False}})
    assert to_json_object(off) == {"format": FORMAT_2, "settings": {"log_refused": False}}
    on = parse_document({"format": FORMAT_2, "settings": {"log_refused": True}})
    assert on == parse_document({"format": FORMAT_1})
    assert digest(on) == digest(parse_document({"format": FORMAT_1}))
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": FORMAT_1, "settings": {"log_refused": False}})
    assert str(caught.value) == f"settings.log_refused: {sentences.NEWER_KEY}"
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": FORMAT_2, "settings": {"log_refused": "no"}})
    assert str(caught.value) == "settings.log_refused: no is not true or false"


def test_a_setting_that_the_earlier_format_does_not_have() -> None:
    settings = {"containers_reach_host": "allow"}
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": FORMAT_1, "settings": settings})
    assert str(caught.value) == f"settings.containers_reach_host: {sentences.NEWER_KEY}"
    found = parse_document({"format": FORMAT_2, "settings": settings})
    assert to_json_object(found) == {"format": FORMAT_2, "settings": settings}
    by_rules = {"format": FORMAT_2, "settings": {"containers_reach_host": "by-rules"}}
    assert to_json_object(parse_document(by_rules))["format"] == FORMAT_1
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": FORMAT_2, "settings": {"containers_reach_host": "never"}})
    assert "settings.containers_reach_host" in str(caught.value)


@pytest.mark.parametrize("layout", ["dockerfw/3", None, 1, ["dockerfw/1"]])
def test_another_format_is_refused(layout: object) -> None:
    (error,) = errors(layout)
    assert error.endswith(sentences.wrong_format("", FORMATS))


def test_a_rule_without_an_id_gets_another_one_for_another_destination() -> None:
    rules = [{"scope": "forwarded", "to": to} for to in ("10.0.0.1", "10.0.0.2")]
    found = parse_document({"format": FORMAT_2, "rules": rules})
    assert len({rule.id for rule in found.rules}) == 2
    again = parse_document({"format": FORMAT_2, "rules": rules[::-1]})
    assert again == found
