"""The dockerfw/1 document: every error has its path, and there is one canonical form and one digest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.document import sentences
from dockerfw.document.document import (
    FORMAT_1,
    MAX_BYTES,
    canonical_json,
    digest,
    load_document,
    parse_document,
    to_json_object,
    validate_rule,
)
from dockerfw.document.fields import Problems, read_port, read_protocol
from dockerfw.document.values import Document, DocumentRule, Expectation, Group, Settings
from dockerfw.iptables.errors import DocumentError
from dockerfw.iptables.protocols import PROTOCOL_NAMES, PROTOCOLS_WITH_PORTS
from tests.rig.documents import document_values


def errors(*rules: object, **settings: object) -> list[str]:
    """Return the errors of a document with these rules and settings."""
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": FORMAT_1, "settings": settings, "rules": list(rules)})
    return [str(error) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("values", "field", "error"),
    [
        ({"protocol": "tcp", "ports": [70000]}, "ports[0]", sentences.not_a_port("70000")),
        ({"protocol": "tcp", "ports": ["22", "0"]}, "ports[1]", sentences.not_a_port("0")),
        ({"protocol": "tcp", "ports": ["9-3"]}, "ports[0]", sentences.reversed_range(9, 3)),
        ({"protocol": "tcp", "ports": [True]}, "ports[0]", sentences.not_a_port_or_range("true")),
        ({"ports": ["22"]}, "ports", sentences.ports_not_allowed("any", PROTOCOLS_WITH_PORTS)),
        (
            {"protocol": "icmp", "ports": ["22"]},
            "ports",
            sentences.ports_not_allowed("icmp", PROTOCOLS_WITH_PORTS),
        ),
        ({"protocol": 0}, "protocol", sentences.means_every_protocol("0")),
        ({"protocol": "tpc"}, "protocol", sentences.not_a_protocol("tpc", sentences.did_you_mean("tcp"))),
        ({"protocol": 256}, "protocol", sentences.not_a_protocol("256", "")),
        ({"source": "10.0.0.1, 2001:db8::/32"}, "source", sentences.several_sources(2)),
        ({"source": ["10.0.0.1", "10.0.0.2", "10.0.0.3"]}, "source", sentences.several_sources(3)),
        ({"source": "10.0.0.1 nonsense"}, "source", sentences.not_an_address("10.0.0.1 nonsense")),
        ({"source": "10.0.0.0/33"}, "source", f"10.0.0.0/33 {sentences.bad_prefix(32)}"),
        ({"source": "10.0.0.0/255.0.0.0"}, "source", f"10.0.0.0/255.0.0.0 {sentences.HAS_NETMASK}"),
        ({"source": "::ffff:1.2.3.4"}, "source", f"::ffff:1.2.3.4 {sentences.ipv4_in_ipv6('1.2.3.4')}"),
        ({"source": "fe80::1%eth0"}, "source", f"fe80::1%eth0 {sentences.HAS_ZONE}"),
        (
            {"source": "1.2.3.4", "protocol": "ipv6-icmp"},
            "protocol",
            sentences.icmpv6_from_ipv4("1.2.3.4/32"),
        ),
        ({"scope": "all"}, "scope", sentences.not_one_of("all", ("host", "container", "both"))),
        ({"scope": "host", "port_kind": "container"}, "port_kind", sentences.CONTAINER_PORTS_ON_HOST),
        ({"port_kind": "container"}, "port_kind", sentences.CONTAINER_PORTS_MISSING),
        ({"sauce": 1}, "sauce", "unknown key"),
        ({"id": "UPPER"}, "id", sentences.not_an_id("UPPER")),
        ({"comment": "a\nb"}, "comment", "character 2 (U+000A"),
        ({"comment": "a\u202eb"}, "comment", "character 2 (U+202E"),
        ({"comment": "x" * 201}, "comment", sentences.text_too_long(201, 200)),
        ({"enabled": 1}, "enabled", sentences.not_a_boolean("1")),
    ],
)
def test_an_error_names_the_field(values: dict[str, Any], field: str, error: str) -> None:
    found = errors({"scope": "both", **values})
    assert len(found) == 1
    assert found[0].startswith(f"rules[0].{field}: {error}")


def test_every_error_is_found() -> None:
    assert len(errors({}, 7, {"scope": "x", "source": "y"}, refuse="no", external_interfaces=["a/b"])) == 6
    assert errors({"id": "same", "scope": "host"}, {"id": "same", "scope": "both"}) == [
        f"rules[1].id: {sentences.duplicate_id('same', 'rules[0]')}"
    ]


@pytest.mark.parametrize("trusted", ["eth0", "eth+", "e+"])
def test_an_interface_is_not_external_and_trusted(trusted: str) -> None:
    assert len(errors(external_interfaces=["eth0"], trusted_interfaces=[trusted])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        b"\xff",
        "9" * 1000,
        pytest.param("9" * 4_000_000, id="millions of digits"),
        '{"format": 1}',
        '"\ud800"',
    ],
)
def test_bad_text_is_refused(text: str | bytes) -> None:
    with pytest.raises(DocumentError):
        load_document(text)


def test_too_large_a_text_is_refused() -> None:
    with pytest.raises(DocumentError, match="at most"):
        load_document(b" " * (MAX_BYTES + 1))


def test_host_bits_are_removed_with_a_note() -> None:
    found = parse_document({"format": FORMAT_1, "rules": [{"scope": "host", "source": "10.1.2.3/8"}]})
    assert found.rules[0].sources == ("10.0.0.0/8",)
    assert [str(note) for note in found.notes] == [
        f"rules[0].source: {sentences.has_host_bits('10.1.2.3/8', '10.0.0.0/8')}"
    ]


def test_spellings_become_canonical() -> None:
    rule = validate_rule(
        {"scope": "host", "protocol": "6", "ports": ["8000:8010", 22, "22"], "source": "1.2.3.4"}
    )
    assert (rule.protocol, rule.ports, rule.sources) == ("tcp", ("22", "8000-8010"), ("1.2.3.4/32",))
    assert rule.id == validate_rule({**to_json_object_of(rule), "comment": "other"}).id


def to_json_object_of(rule: Any) -> dict[str, Any]:
    """Return the fields that identify a rule, without its id."""
    sources = list(rule.sources)
    return {"scope": rule.scope, "sources": sources, "protocol": rule.protocol, "ports": list(rule.ports)}


@given(document_values(), st.randoms())
def test_order_never_matters(values: dict[str, Any], random: Any) -> None:
    first = parse_document(values)
    shuffled = {**values, "rules": random.sample(values["rules"], len(values["rules"]))}
    assert digest(parse_document(shuffled)) == digest(first)
    assert len({rule.id for rule in first.rules}) == len(first.rules)


@given(document_values())
def test_a_written_document_reads_back(values: dict[str, Any]) -> None:
    first = parse_document(values)
    assert load_document(canonical_json(first)) == first
    assert parse_document(json.loads(json.dumps(to_json_object(first)))) == first


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["rules", "scope", "ports"]), inner)
    ),
)


@given(json_values, json_values)
def test_any_value_is_read_or_refused(value: object, rule: object) -> None:
    for candidate in (value, {"format": FORMAT_1, "rules": [rule]}, {"format": FORMAT_1, "settings": value}):
        try:
            parse_document(candidate)
        except DocumentError as error:
            assert str(error)  # noqa: PT017


def test_a_remembered_hash_is_that_of_the_content() -> None:
    one, same = (Document(rules=(DocumentRule("a1c2", "host"),)) for _ in range(2))
    assert hash(one) == hash(one) == hash(same)
    assert one == same
    for other in (
        replace(one, rules=()),
        replace(one, settings=Settings(icmp="refuse")),
        replace(one, expectations=(Expectation("any", "tcp", 22, "host", passes=True),)),
        replace(one, groups=(Group("office"),)),
    ):
        assert other != one
        assert hash(other) != hash(one)


def test_documents_are_compared_by_what_is_remembered_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = (Document(rules=(DocumentRule(name, "host"),)) for name in ("a1", "a1", "b2"))
    compared: list[DocumentRule] = []
    equal = DocumentRule.__eq__

    def counted(rule: DocumentRule, value: object) -> bool:
        compared.append(rule)
        return equal(rule, value)

    monkeypatch.setattr(DocumentRule, "__eq__", counted)
    assert one == same
    assert one != other
    assert len(compared) == 2
    assert hash(one) != hash(other)
    assert one != other
    assert digest(one) == digest(same) != digest(other)
    compared.clear()
    assert one == same
    assert one != other
    assert compared == []
    assert one != "a1"


@pytest.mark.parametrize("name", ["any", *PROTOCOL_NAMES.values()])
def test_the_name_of_a_protocol_is_read_as_it_is(name: str) -> None:
    problems = Problems()
    assert read_protocol(name, "", problems) == read_protocol(f" {name.upper()}", "", problems) == name
    assert problems.errors == []


@pytest.mark.parametrize(
    ("text", "port"), [("1", "1"), ("65535", "65535"), ("022", "22"), ("0", None), ("65536", None)]
)
def test_a_port_has_one_spelling(text: str, port: str | None) -> None:
    assert read_port(text, "", Problems()) == port
