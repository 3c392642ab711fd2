"""The bound of the sets of rules by container: how many a document needs, and where the error is."""

from __future__ import annotations

from typing import Any

import pytest

from dockerfw.chains.container_sets import container_definitions
from dockerfw.document.adding import add_document
from dockerfw.document.container_definitions import MOST_DEFINITIONS
from dockerfw.document.document import Document, parse_document
from dockerfw.iptables.errors import DocumentError


def rule(number: int, **values: Any) -> dict[str, Any]:
    """Return a rule for one container, which needs two sets."""
    base = {"scope": "container", "protocol": "tcp", "ports": ["80"], "container": f"c{number}"}
    return {**base, **values}


def document(*rules: dict[str, Any]) -> Document:
    """Validate rules as a document."""
    return parse_document({"format": "dockerfw/2", "rules": list(rules)})


def errors(error: pytest.ExceptionInfo[DocumentError]) -> list[tuple[str, str]]:
    return [(each.path, each.message) for each in error.value.errors]


def test_the_most_definitions_all_have_sets() -> None:
    full = document(*map(rule, range(MOST_DEFINITIONS // 2)))
    assert len(container_definitions(full)) == 2 * MOST_DEFINITIONS


def test_one_rule_too_many_is_named_by_its_path() -> None:
    with pytest.raises(DocumentError) as caught:
        document(*map(rule, range(MOST_DEFINITIONS // 2 + 3)))
    ((path, message),) = errors(caught)
    assert path == f"rules[{MOST_DEFINITIONS // 2}].container"
    assert message.startswith(
        f"the enabled rules for containers by name need {MOST_DEFINITIONS + 6} ipsets (at most 2000)"
    )


@pytest.mark.parametrize(
    "more",
    [
        rule(0, comment="the same set", sources=["192.0.2.7"]),
        rule(5000, enabled=False),
        rule(5000, container=""),
    ],
)
def test_rules_that_need_no_further_set_are_not_counted(more: dict[str, Any]) -> None:
    full = document(*map(rule, range(MOST_DEFINITIONS // 2)), more)
    assert len(full.rules) == MOST_DEFINITIONS // 2 + 1


def test_rules_are_not_added_beyond_the_bound() -> None:
    draft = document(*map(rule, range(MOST_DEFINITIONS // 2)))
    with pytest.raises(DocumentError) as caught:
        add_document(draft, document(rule(5000)))
    assert [path for path, _ in errors(caught)] == ["rules[0].container"]
