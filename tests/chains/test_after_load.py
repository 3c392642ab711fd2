"""The rules after a load, which are not replayed one by one, beside those of a whole replay."""

from __future__ import annotations

import pytest
from hypothesis import given

from dockerfw.chains import after_load
from dockerfw.chains.after_load import replay_load
from dockerfw.chains.names import FILTERS
from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.parse import parse_restore, parse_save
from scripts.benchmarks.documents import make_object
from tests.rig.documents import documents
from tests.rig.kernel_reports import CLEAN, save_of


def content(found: Ruleset) -> dict[tuple[str, str], tuple[str | None, list[tuple[str, ...]]]]:
    """Return the policy and the words of the rules of each chain."""
    return {
        (table.name, chain.name): (chain.policy, [rule.tokens for rule in chain.rules])
        for table in found.tables.values()
        for chain in table.chains.values()
    }


def check(document: Document, family: Family, save: str) -> None:
    """Compare what a load leaves behind with a whole replay of it."""
    load = render_restore(document, family, live=parse_save(save), revision=3)
    found, whole = replay_load(save.rstrip(), load, family), parse_restore(f"{save}{load}", family=family)
    assert content(found) == content(whole)
    assert [type(line) for line in found.lines] == [type(line) for line in whole.lines]


@given(documents(max_rules=12), documents(max_rules=12))
def test_a_load_leaves_what_a_whole_replay_leaves(before: Document, document: Document) -> None:
    for family in FAMILIES:
        check(document, family, CLEAN)
        check(document, family, save_of(before, family, 2))


def test_with_dispatch_chains_before_and_after() -> None:
    large, small = (parse_document(make_object(count)) for count in (400, 20))
    for family in FAMILIES:
        check(small, family, save_of(large, family, 2))
        check(large, family, save_of(small, family, 2))


def test_the_rules_of_a_load_are_not_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = []

    def count(text: str, *, family: Family) -> Ruleset:
        replayed.append(text)
        return parse_restore(text, family=family)

    monkeypatch.setattr(after_load, "parse_restore", count)
    document = parse_document(make_object(300))
    check(document, 4, CLEAN)
    assert sum(text.count("dockerfw:") for text in replayed) == 0


def test_what_cannot_be_replayed_is_told() -> None:
    with pytest.raises(ParseError):
        replay_load("*filter\nCOMMIT", f"*filter\n-A {FILTERS} -j RETURN\nCOMMIT\n", 4)
    with pytest.raises(ParseError):
        replay_load("*filter\nCOMMIT", f"*filter\n:{FILTERS} - [0:0]\n-I NOWHERE -j {FILTERS}\nCOMMIT\n", 4)
