"""Warnings about times, limits, groups and blocks: certain, or not given."""

from __future__ import annotations

import pytest

from dockerfw.document.coverage import find_hidden_rules
from dockerfw.document.document import parse_document, validate_rule
from dockerfw.document.values import Group
from dockerfw.reach.condition_warnings import Conditions, condition_warnings, hides_warning

NOW = "2030-01-01T00:00:00Z"
GROUPS = {
    "office": Group("office", entries=("203.0.113.0/24",)),
    "empty": Group("empty"),
    "cloud": Group("cloud", kind="feed", url="https://example.org/x"),
}
RULE = {"scope": "container", "protocol": "tcp", "ports": ["443"]}


def codes(values: dict[str, object]) -> list[str]:
    rule = validate_rule({**RULE, **values})
    found = condition_warnings(rule, Conditions(NOW, GROUPS))
    return [each.code for each in found]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, []),
        ({"expires": "2029-12-31T23:59:59Z"}, ["expired"]),
        ({"expires": NOW}, ["expired"]),
        ({"expires": "2030-01-01T00:00:01Z"}, []),
        ({"expires": NOW, "enabled": False}, []),
        ({"limit": "29/minute"}, ["tight-limit"]),
        ({"limit": "30/minute"}, []),
        ({"limit": "1/second"}, []),
        ({"limit": "1000/hour"}, ["tight-limit"]),
        ({"limit": "6/minute", "ports": ["22"]}, []),
        ({"limit": "6/minute", "ports": ["1-100"]}, ["tight-limit"]),
        ({"limit": "6/minute", "protocol": "udp"}, []),
        ({"sources": ["@office", "@cloud"]}, []),
        ({"sources": ["@empty"]}, ["empty-group"]),
        ({"sources": ["@empty", "@office"]}, ["empty-group"]),
    ],
    ids=str,
)
def test_what_is_warned_of(values: dict[str, object], found: list[str]) -> None:
    assert codes(values) == found


def test_only_an_empty_group_as_source_leaves_nothing() -> None:
    rule = validate_rule({**RULE, "sources": ["@empty"]})
    (alone,) = condition_warnings(rule, Conditions(NOW, GROUPS))
    assert alone.message == "@empty is empty. The rule has no other source, so it does nothing."
    rule = validate_rule({**RULE, "sources": ["@empty", "@office"]})
    (beside,) = condition_warnings(rule, Conditions(NOW, GROUPS))
    assert beside.message == "@empty is empty."
    assert beside.needs_attention


@pytest.mark.parametrize(
    ("block", "hides"),
    [
        ({"sources": ["203.0.113.0/24"]}, True),
        ({"sources": ["@office"]}, True),
        ({"sources": ["203.0.113.128/25"]}, False),
        ({"protocol": "tcp", "ports": ["1-100"]}, True),
        ({"protocol": "tcp", "ports": ["23"]}, False),
        ({"sources": ["@office"], "protocol": "udp"}, False),
        ({"sources": ["@office"], "scope": "container"}, False),
        ({"sources": ["@office"], "interface": "ens33"}, False),
        ({"sources": ["@office"], "expires": "2031-01-01T00:00:00Z"}, False),
        ({"sources": ["@office"], "enabled": False}, False),
    ],
    ids=str,
)
def test_a_block_that_leaves_nothing_of_an_allowance(block: dict[str, object], hides: bool) -> None:
    ssh = {
        "id": "ssh0",
        "scope": "host",
        "sources": ["203.0.113.7"],
        "protocol": "tcp",
        "ports": ["22"],
        "limit": "6/minute",
    }
    document = parse_document(
        {
            "format": "dockerfw/2",
            "settings": {"external_interfaces": ["ens33"]},
            "groups": {"office": {"entries": ["203.0.113.0/24"]}},
            "rules": [ssh, {"id": "bad0", "action": "block", **block}],
        }
    )
    assert find_hidden_rules(document) == ((("ssh0", "bad0"),) if hides else ())


def test_both_sides_of_a_hidden_allowance_say_so() -> None:
    ssh = validate_rule({**RULE, "id": "ssh0", "comment": "ssh"})
    block = validate_rule({"scope": "both", "action": "block", "protocol": "tcp", "id": "bad0"})
    (hidden,) = condition_warnings(ssh, Conditions(NOW, GROUPS, hidden_by={"ssh0": block}))
    assert hidden.message == (
        "Has no effect: everything it allows is blocked by block all of tcp from anywhere to the host and"
        " containers."
    )
    warning = hides_warning([ssh, ssh])
    assert warning is not None
    assert warning.message == "Because of this block ssh and ssh have no effect."
    assert hides_warning([]) is None
