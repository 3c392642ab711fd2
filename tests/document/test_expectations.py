"""Expectations and later settings in a document: errors have their path, one order, stable digests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dockerfw.document import sentences
from dockerfw.document.diff import diff_documents
from dockerfw.document.document import (
    FORMAT_1,
    Document,
    canonical_json,
    digest,
    load_document,
    parse_document,
    to_json_object,
    validate_expectation,
)
from dockerfw.document.expectations import MAX_EXPECTATIONS
from dockerfw.document.words import describe_expectation
from dockerfw.iptables.errors import DocumentError

SSH = {"source": "203.0.113.0/24", "protocol": "tcp", "port": 22, "passes": True, "comment": "the office"}
DB = {"port": 5432, "to": "container", "container": "db", "passes": False}

OLD: dict[str, Any] = {
    "format": FORMAT_1,
    "settings": {"external_interfaces": ["ens33"]},
    "rules": [
        {"id": "k3f9", "scope": "both", "protocol": "tcp", "ports": ["22", "8000-8010"], "comment": "ssh"},
        {"id": "a1c2", "scope": "host", "source": "192.0.2.0/24"},
    ],
}
# Recorded before documents had expectations; kernels and databases of that time contain it.
OLD_DIGEST = "69f918c56b4e19117bf2e8b8549afe4e916264fe0bdf243449e2ffd73d106bb1"


def document(*expectations: object, **settings: object) -> Document:
    return parse_document({"format": FORMAT_1, "settings": settings, "expectations": list(expectations)})


def errors(*expectations: object, **settings: object) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        document(*expectations, **settings)
    return [str(error) for error in caught.value.errors]


def test_an_older_document_keeps_its_digest() -> None:
    assert digest(parse_document(OLD)) == OLD_DIGEST
    written_out = {**OLD, "expectations": [], "settings": {**OLD["settings"], "heal_anchors": False}}
    assert digest(parse_document(written_out)) == OLD_DIGEST
    assert digest(parse_document({**OLD, "expectations": [SSH]})) != OLD_DIGEST
    healing = {**OLD, "settings": {**OLD["settings"], "heal_anchors": True}}
    assert digest(parse_document(healing)) != OLD_DIGEST


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (7, "expectations[0]: 7 is not an expectation"),
        ({"port": 22}, "expectations[0].passes: is missing"),
        ({**SSH, "passes": "yes"}, "expectations[0].passes: yes is not true or false"),
        ({**SSH, "source": "10.0.0.0/33"}, "expectations[0].source: 10.0.0.0/33 has no valid prefix"),
        ({**SSH, "protocol": "tpc"}, "expectations[0].protocol: tpc is not a protocol"),
        ({**SSH, "protocol": "any"}, "expectations[0].protocol: any is too wide"),
        ({**SSH, "port": None}, "expectations[0].port: is missing"),
        ({**SSH, "port": "22"}, "expectations[0].port: 22 is not a port"),
        ({**SSH, "port": True}, "expectations[0].port: true is not a port"),
        ({**SSH, "port": 0}, "expectations[0].port: 0 is not a port"),
        ({**SSH, "port": 65536}, "expectations[0].port: 65536 is not a port"),
        ({**SSH, "protocol": "icmp"}, "expectations[0].port: icmp has no ports"),
        (
            {"protocol": "ipv6-icmp", "source": "192.0.2.1", "passes": True},
            "expectations[0].protocol: ipv6-icmp never comes from an IPv4",
        ),
        ({**SSH, "to": "both"}, "expectations[0].to: both is not host or container"),
        ({**SSH, "container": "db"}, "expectations[0].container: db is a container"),
        ({**DB, "container": "a b"}, "expectations[0].container: a b is not the name"),
        ({**DB, "container": "x" * 129}, "expectations[0].container: xxxx"),
        ({**DB, "container": None}, "expectations[0].container: null is not the name"),
        (
            {"protocol": "icmp", "to": "container", "passes": True},
            "expectations[0].container: is missing",
        ),
        ({**SSH, "comment": "a\nb"}, "expectations[0].comment: character 2 (U+000A"),
        ({**SSH, "sauce": 1}, "expectations[0].sauce: unknown key"),
    ],
)
def test_an_error_names_the_field(values: object, error: str) -> None:
    found = errors(values)
    assert len(found) == 1
    assert found[0].startswith(error)


def test_errors_of_the_whole_list_and_of_the_setting() -> None:
    with pytest.raises(DocumentError, match=r"expectations: an object is not a list of expectations"):
        parse_document({"format": FORMAT_1, "expectations": {}})
    too_many = [{**SSH, "comment": str(number)} for number in range(MAX_EXPECTATIONS + 1)]
    assert errors(*too_many) == [
        f"expectations: {MAX_EXPECTATIONS + 1} expectations are too many (at most 200)"
    ]
    assert errors(heal_anchors="yes") == ["settings.heal_anchors: yes is not true or false"]
    with pytest.raises(DocumentError, match=r"^port: 0 is not a port"):
        validate_expectation({**SSH, "port": 0})


def test_order_and_duplicates_do_not_change_the_form() -> None:
    one = document(SSH, {**DB, "source": "ANY"}, {**SSH, "source": "203.0.113.9/24"})
    assert one == document(DB, SSH)
    assert [str(note) for note in one.notes] == [
        "expectations[2].source: " + sentences.has_host_bits("203.0.113.9/24", "203.0.113.0/24"),
        "expectations[2]: " + sentences.duplicate_expectation("expectations[0]"),
    ]
    assert canonical_json(one) == canonical_json(document(DB, SSH))
    assert load_document(canonical_json(one)) == one
    assert json.loads(canonical_json(one))["expectations"] == to_json_object(one)["expectations"]


def test_sentences_and_differences() -> None:
    ping = {"protocol": "icmp", "source": "2001:db8::7", "passes": True}
    both = document(SSH, DB, ping, {**DB, "container": "", "protocol": "udp"})
    assert [describe_expectation(each) for each in both.expectations] == [
        "icmp of the host from 2001:db8::7 passes",
        "22/tcp of the host from 203.0.113.0/24 passes",
        "5432/tcp of container db from anywhere is refused",
        "5432/udp of containers from anywhere is refused",
    ]
    diff = diff_documents(document(SSH), document(DB, {**DB, "port": 1}, heal_anchors=True))
    assert diff.count == 4
    assert diff.sentence == "2 expectations added, 1 removed, 1 setting changed"
    assert [describe_expectation(each) for each in diff.not_expected] == [
        "22/tcp of the host from 203.0.113.0/24 passes"
    ]
    assert [(change.name, change.old, change.new) for change in diff.settings] == [
        ("heal_anchors", "no", "yes")
    ]
