"""Rules that were exact are not listed again before one of them changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerfw.host import exact_rules, native_rules
from dockerfw.host.backend import read_saves
from dockerfw.host.loading import RestoreFailed, load
from dockerfw.iptables.model import Family
from dockerfw.store.exact_rules import recall_exact_mark, store_exact_mark
from tests.rig.host_states import add_foreign
from tests.rig.namespace import Namespace

pytestmark = pytest.mark.kernel

TEXT = "*filter\n:FILTERS - [0:0]\n-A FILTERS -p tcp -m tcp --dport 22 -j RETURN\nCOMMIT\n"
INEXACT = b"# Table `filter' contains rules of nft that are printed without some conditions.\n"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Family]:
    """The families whose rules were listed, one after the other."""
    families: list[Family] = []
    really = native_rules.inexact_tables

    def inexact_tables(family: Family) -> frozenset[str] | None:
        families.append(family)
        return really(family)

    monkeypatch.setattr(exact_rules, "inexact_tables", inexact_tables)
    exact_rules.remember_exact("")
    return families


def read(family: Family = 4) -> bytes:
    """Return one family's save."""
    found = read_saves("nft")[family]
    assert isinstance(found, bytes)
    return found


def test_the_rules_of_one_generation_are_listed_once(inside: Namespace, listed: list[Family]) -> None:
    add_foreign(inside, "nft")
    first = read()
    assert sorted(listed) == [4, 6]
    listed.clear()
    assert read().count(b"-A") == first.count(b"-A")
    assert listed == []
    inside.run("iptables-nft", "-A", "INPUT", "-p", "tcp", "-j", "DROP")
    read()
    assert sorted(listed) == [4, 6]


def test_a_rule_that_another_program_adds_is_known(inside: Namespace, listed: list[Family]) -> None:
    add_foreign(inside, "nft")
    assert INEXACT not in read()
    inside.run("nft", "add", "rule", "ip", "filter", "INPUT", "tcp", "dport", "{ 22, 80 }", "drop")
    assert INEXACT in read()
    # What is not exact is never remembered.
    listed.clear()
    assert INEXACT in read()
    assert sorted(listed) == [4, 6]


def test_a_rule_that_is_added_while_the_saves_are_read_is_known(
    inside: Namespace, listed: list[Family]
) -> None:
    add_foreign(inside, "nft")
    read()
    with exact_rules.inexact_beside((4, 6)) as inexact:
        inside.run("nft", "add", "rule", "ip6", "filter", "INPUT", "tcp", "dport", "{ 22, 80 }", "drop")
        assert inexact() == {4: frozenset(), 6: {"filter"}}


def test_after_a_load_of_its_own_nothing_is_listed(inside: Namespace, listed: list[Family]) -> None:
    add_foreign(inside, "nft")
    read()
    listed.clear()
    load("nft", 4, TEXT)
    load("nft", 6, TEXT)
    assert b"--dport 22 -j RETURN" in read()
    assert listed == []


@pytest.mark.parametrize("fails", [False, True])
def test_another_program_beside_a_load_has_all_rules_listed(
    inside: Namespace, listed: list[Family], monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    add_foreign(inside, "nft")
    read()
    really = exact_rules.rules_mark
    marks = iter([really()])
    monkeypatch.setattr(exact_rules, "rules_mark", lambda: next(marks, None) or really())
    inside.run("nft", "add", "rule", "ip", "filter", "INPUT", "tcp", "dport", "{ 22, 80 }", "drop")
    if fails:
        with pytest.raises(RestoreFailed):
            load("nft", 4, TEXT.replace("tcp --dport 22", "tcp --no-such-option"))
    else:
        load("nft", 4, TEXT)
    monkeypatch.setattr(exact_rules, "rules_mark", really)
    assert INEXACT in read()


def test_a_text_without_rules_does_not_count_as_a_change(inside: Namespace) -> None:
    add_foreign(inside, "nft")
    read()
    before = exact_rules.exact_mark()
    load("nft", 4, "*filter\nCOMMIT\n")
    assert exact_rules.exact_mark() == before


def test_the_mark_of_another_namespace_is_another(inside: Namespace) -> None:
    mark = exact_rules.rules_mark()
    with Namespace("other") as other, other.entered():
        assert exact_rules.rules_mark() != mark
    assert exact_rules.rules_mark() == mark


def test_the_mark_of_another_version_is_another(inside: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = exact_rules.rules_mark()
    monkeypatch.setattr(exact_rules, "VERSION", "0.0.1")
    assert exact_rules.rules_mark() != mark


def test_the_mark_goes_on_to_the_next_process(
    inside: Namespace, listed: list[Family], tmp_path: Path
) -> None:
    add_foreign(inside, "nft")
    read()
    mark = exact_rules.exact_mark()
    assert mark == exact_rules.rules_mark() != ""
    store_exact_mark(tmp_path)
    exact_rules.remember_exact("")
    recall_exact_mark(tmp_path)
    assert exact_rules.exact_mark() == mark
    listed.clear()
    read()
    assert listed == []


def test_what_cannot_be_read_is_not_remembered(tmp_path: Path) -> None:
    recall_exact_mark(tmp_path)
    assert exact_rules.exact_mark() == ""
    (tmp_path / "exact-rules").write_bytes(b"\xff" * 1000)
    recall_exact_mark(tmp_path)
    assert exact_rules.exact_mark() == ""
