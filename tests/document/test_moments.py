"""Rules that count at a moment, and those that have ended since another one."""

from __future__ import annotations

from typing import Any

import pytest

from dockerfw.document.document import FORMAT_2, parse_document
from dockerfw.document.moments import applies_at, document_at, ended_rules
from dockerfw.document.values import Document

NOON = "2027-01-31T12:00:00Z"
LATER = "2027-01-31T12:00:01Z"
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}


def document(**rules: dict[str, Any]) -> Document:
    """Return a document of rules by id."""
    found = [{**SSH, "id": identifier, **rule} for identifier, rule in rules.items()]
    return parse_document({"format": FORMAT_2, "rules": found})


@pytest.mark.parametrize(
    ("times", "moment", "expected"),
    [
        ({}, NOON, True),
        # The kernel takes the second of each end with it.
        ({"expires": NOON}, NOON, True),
        ({"expires": NOON}, LATER, False),
        ({"starts": LATER}, NOON, False),
        ({"starts": LATER}, LATER, True),
        ({"starts": NOON, "expires": LATER}, LATER, True),
    ],
)
def test_both_ends_belong_to_the_time_of_a_rule(times: dict[str, str], moment: str, expected: bool) -> None:
    (rule,) = document(rule=times).rules
    assert applies_at(rule, moment) is expected


def test_what_has_ended_since_the_last_time() -> None:
    found = document(
        gone={"expires": NOON},
        soon={"expires": LATER},
        past={"expires": "2027-01-31T11:59:59Z"},
        deny={"expires": NOON, "action": "block"},
        idle={"expires": NOON, "enabled": False},
        ever={},
    )
    assert {rule.id for rule in ended_rules(found, NOON, LATER)} == {"gone"}
    assert {rule.id for rule in ended_rules(found, "", LATER)} == {"gone", "past"}
    # A rule that ends in this second is told the next time, and only then.
    assert {rule.id for rule in ended_rules(found, LATER, "2027-01-31T12:00:02Z")} == {"soon"}


def test_a_document_of_a_moment_has_no_times() -> None:
    found = document(gone={"expires": NOON}, soon={"expires": LATER, "starts": NOON}, ever={})
    now = document_at(found, LATER)
    assert {rule.id for rule in now.rules} == {"soon", "ever"}
    assert not any(rule.starts or rule.expires for rule in now.rules)
    before = document_at(found, LATER, but=ended_rules(found, NOON, LATER))
    assert {rule.id for rule in before.rules} == {"gone", "soon", "ever"}
