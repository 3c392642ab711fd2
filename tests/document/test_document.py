"""The dockerfw/1 document: every error at its path, one canonical form, one digest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.document.document import (
    FORMAT,
    canonical_json,
    digest,
    load_document,
    parse_document,
    to_json_object,
    validate_rule,
)
from dockerfw.iptables.errors import DocumentError
from tests.rig.documents import document_values


def errors(*rules: object, **settings: object) -> list[str]:
    """Return the errors of a document made of these."""
    with pytest.raises(DocumentError) as caught:
        parse_document({"format": FORMAT, "settings": settings, "rules": list(rules)})
    return [str(error) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"protocol": "tcp", "ports": [70000]}, "rules[0].ports[0]: 70000 is not a port (1 to 65535)"),
        ({"protocol": "tcp", "ports": ["22", "0"]}, "rules[0].ports[1]: 0 is not a port (1 to 65535)"),
        (
            {"protocol": "tcp", "ports": ["9-3"]},
            "rules[0].ports[0]: the range 9-3 ends before it starts: write 3-9",
        ),
        (
            {"protocol": "tcp", "ports": [True]},
            "rules[0].ports[0]: true is not a port (1 to 65535) or a range",
        ),
        ({"ports": ["22"]}, "rules[0].ports: a rule for any protocol has none"),
        ({"protocol": "icmp", "ports": ["22"]}, "rules[0].ports: icmp has none"),
        ({"protocol": 0}, 'rules[0].protocol: 0 means every protocol to iptables: write "any"'),
        ({"protocol": "tpc"}, "rules[0].protocol: tpc is not a protocol"),
        ({"protocol": 256}, "rules[0].protocol: 256 is not a protocol"),
        ({"source": "10.0.0.0/33"}, "rules[0].source: 10.0.0.0/33 has no valid prefix length (0 to 32)"),
        ({"source": "10.0.0.0/255.0.0.0"}, "rules[0].source: 10.0.0.0/255.0.0.0 has a netmask"),
        ({"source": "::ffff:1.2.3.4"}, "rules[0].source: ::ffff:1.2.3.4 is an IPv4 address written as IPv6"),
        ({"source": "fe80::1%eth0"}, "rules[0].source: fe80::1%eth0 has a zone"),
        (
            {"source": "1.2.3.4", "protocol": "ipv6-icmp"},
            "rules[0].protocol: ipv6-icmp never comes from an IPv4",
        ),
        ({"scope": "all"}, "rules[0].scope: all is not host, container or both"),
        (
            {"scope": "host", "port_kind": "container"},
            "rules[0].port_kind: container is for rules that reach",
        ),
        ({"port_kind": "container"}, "rules[0].port_kind: container needs ports"),
        ({"sauce": 1}, "rules[0].sauce: unknown key"),
        ({"id": "UPPER"}, "rules[0].id: UPPER is not an id"),
        ({"comment": "a\nb"}, "rules[0].comment: character 2 (U+000A"),
        ({"comment": "a\u202eb"}, "rules[0].comment: character 2 (U+202E"),
        ({"comment": "x" * 201}, "rules[0].comment: the comment has 201 characters"),
        ({"enabled": 1}, "rules[0].enabled: 1 is not true or false"),
    ],
)
def test_an_error_names_the_field(values: dict[str, Any], error: str) -> None:
    found = errors({"scope": "both", **values})
    assert len(found) == 1
    assert found[0].startswith(error)


def test_every_error_is_found() -> None:
    assert len(errors({}, 7, {"scope": "x", "source": "y"}, refuse="no", external_interfaces=["a/b"])) == 6
    assert errors({"id": "same", "scope": "host"}, {"id": "same", "scope": "both"}) == [
        "rules[1].id: same is the id of rules[0] too"
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
def test_bad_text_is_refused_in_words(text: str | bytes) -> None:
    with pytest.raises(DocumentError):
        load_document(text)


def test_too_large_a_text_is_refused() -> None:
    with pytest.raises(DocumentError, match="at most"):
        load_document(b" " * (4 * 1024 * 1024 + 1))


def test_host_bits_are_normalised_and_said() -> None:
    found = parse_document({"format": FORMAT, "rules": [{"scope": "host", "source": "10.1.2.3/8"}]})
    assert found.rules[0].source == "10.0.0.0/8"
    assert [str(note) for note in found.notes] == [
        "rules[0].source: 10.1.2.3/8 has host bits: it is the network 10.0.0.0/8"
    ]


def test_spellings_become_one() -> None:
    rule = validate_rule(
        {"scope": "host", "protocol": "6", "ports": ["8000:8010", 22, "22"], "source": "1.2.3.4"}
    )
    assert (rule.protocol, rule.ports, rule.source) == ("tcp", ("22", "8000-8010"), "1.2.3.4/32")
    assert rule.id == validate_rule({**to_json_object_of(rule), "comment": "other"}).id


def to_json_object_of(rule: Any) -> dict[str, Any]:
    """Return what identifies a rule, without its id."""
    return {"scope": rule.scope, "source": rule.source, "protocol": rule.protocol, "ports": list(rule.ports)}


@given(document_values(), st.randoms())
def test_order_never_matters(values: dict[str, Any], random: Any) -> None:
    first = parse_document(values)
    shuffled = {**values, "rules": random.sample(values["rules"], len(values["rules"]))}
    assert digest(parse_document(shuffled)) == digest(first)
    assert len({rule.id for rule in first.rules}) == len(first.rules)


@given(document_values())
def test_what_is_written_reads_back(values: dict[str, Any]) -> None:
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
    for candidate in (value, {"format": FORMAT, "rules": [rule]}, {"format": FORMAT, "settings": value}):
        try:
            parse_document(candidate)
        except DocumentError as error:
            assert str(error)  # noqa: PT017
