"""A stored document is rebuilt by its digest, and validated where that does not do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dockerfw.document import stored
from dockerfw.document.document import canonical_json, digest, parse_document, to_json_object
from dockerfw.document.stored import read_stored
from dockerfw.iptables.errors import DocumentError

FULL: dict[str, Any] = {
    "format": "dockerfw/1",
    "settings": {
        "external_interfaces": ["ens33"],
        "trusted_interfaces": ["lo", "wg0"],
        "refuse": "drop",
        "icmp": "refuse",
        "heal_anchors": True,
    },
    "rules": [
        {
            "scope": "both",
            "protocol": "tcp",
            "ports": ["22", "8000-8010"],
            "comment": "web",
            "enabled": False,
        },
        {"scope": "container", "source": "2001:db8::/32", "ports": ["53"], "protocol": "udp"},
    ],
    "expectations": [{"port": 22, "passes": True}, {"protocol": "icmp", "passes": False}],
}


@pytest.mark.parametrize("value", [FULL, {"format": "dockerfw/1"}], ids=["full", "empty"])
def test_a_stored_document_is_not_validated_again(
    value: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = parse_document(value)
    written = json.loads(canonical_json(document))

    def validated(_: object) -> None:
        raise AssertionError("validated")

    monkeypatch.setattr(stored, "parse_document", validated)
    assert read_stored(written, digest(document)) == document


def test_another_form_of_the_document_is_validated() -> None:
    assert read_stored(FULL, digest(parse_document(FULL))) == parse_document(FULL)


@pytest.mark.parametrize(
    "change",
    [
        {"rules": [{"scope": "host", "protocol": "tcp", "ports": ["0"]}]},
        {"rules": "none"},
        {"settings": {"icmp": "maybe"}},
        {"settings": {}},
        {"expectations": [{"passes": 1}]},
    ],
    ids=["invalid rule", "no list", "invalid setting", "other settings", "invalid expectation"],
)
def test_a_changed_document_is_refused(change: dict[str, Any]) -> None:
    document = parse_document(FULL)
    with pytest.raises(DocumentError):
        read_stored({**to_json_object(document), **change}, digest(document))


@pytest.mark.parametrize("value", [None, [], 7, "dockerfw/1", {}])
def test_what_is_no_document_is_refused(value: object) -> None:
    with pytest.raises(DocumentError):
        read_stored(value, "0" * 64)
