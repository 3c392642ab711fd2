"""Rules whose packets the kernel counts at another rule's line are known, in every form of the compiler."""

from __future__ import annotations

import random
import re

import pytest

from dockerfw.chains.match_groups import USUAL, WITHOUT_IP_SET
from dockerfw.chains.render import rule_lines
from dockerfw.chains.shared_counts import counted_with
from dockerfw.document.values import DocumentRule
from dockerfw.iptables.model import FAMILIES
from tests.rig.compiled_documents import GROUPS, compiled, document, random_document, rule

MANY = tuple(f"198.51.100.{number}/32" for number in range(1, 7))


def ssh(identifier: str, *sources: str, **keys: object) -> DocumentRule:
    return rule(identifier, "host", sources, protocol="tcp", ports="22", **keys)


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ([ssh("a1"), ssh("b2")], {"b2": ("a1",)}),
        ([ssh("a1"), ssh("b2", "192.0.2.1/32")], {"b2": ("a1",)}),
        # A document has the rule for anyone first, whatever its place was.
        ([ssh("a1", "192.0.2.1/32"), ssh("b2")], {"a1": ("b2",)}),
        ([ssh("a1", "192.0.2.1/32"), ssh("b2", "192.0.2.1/32", "192.0.2.2/32")], {"b2": ("a1",)}),
        ([ssh("a1", *MANY, "@feed"), ssh("b2", "@feed")], {"b2": ("a1",)}),
        # The elements of a set count for each of their rules.
        ([ssh("a1", *MANY), ssh("b2", MANY[0])], {}),
        ([ssh("a1"), ssh("b2"), ssh("c3", *MANY)], {"b2": ("a1",), "c3": ("a1",)}),
        ([ssh("a1"), ssh("b2", *MANY)], {"b2": ("a1",)}),
        ([ssh("a1"), ssh("b2", action="block"), ssh("c3", limit="6/minute")], {}),
        ([ssh("a1"), ssh("b2", enabled=False)], {}),
    ],
)
def test_rules_with_the_same_match(rules: list[DocumentRule], wanted: dict[str, tuple[str, ...]]) -> None:
    assert counted_with(document(rules, GROUPS)) == wanted


def test_a_host_without_ipsets_counts_equal_sources_at_the_first_line() -> None:
    wanted = document([ssh("a1", *MANY), ssh("b2", MANY[0])])
    assert counted_with(wanted) == {}
    # The rule of one source comes first in a document.
    assert counted_with(wanted, WITHOUT_IP_SET) == {"a1": ("b2",)}


@pytest.mark.parametrize("seed", range(40))
def test_a_rule_without_a_line_or_an_element_is_counted_with_another(seed: int) -> None:
    wanted = random_document(random.Random(seed), 60)
    shared = counted_with(wanted)
    for family in FAMILIES:
        found = compiled(wanted, family, USUAL)
        counted = set(re.findall(r"dockerfw:(\w+)", found.to_text()))
        counted |= {each for one in found.sets for ids in one.members.values() for each in ids}
        alone = {each.id for each in wanted.rules if rule_lines(each, family, GROUPS)}
        assert alone - counted <= shared.keys()
