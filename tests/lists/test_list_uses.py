"""Which lists documents need, and how their rules use them."""

from __future__ import annotations

from dockerfw.chains.group_sets import group_definition
from dockerfw.chains.list_judgement import Uses
from dockerfw.document.values import Document, DocumentRule, Group
from rules.lists.list_uses import wanted_lists

DROP = Group("drop", "feed", url="https://lists.example.org/drop")
HOME = Group("home", "names", names=("home.example.org",))
OFFICE = Group("office", entries=("192.0.2.0/24",))


def rule(action: str, *sources: str) -> DocumentRule:
    return DocumentRule("a1b2", "host", sources, action="block" if action == "block" else "allow")


def test_a_list_is_used_as_the_rules_of_all_documents_say() -> None:
    loaded = Document(groups=(DROP, OFFICE), rules=(rule("block", "@drop"), rule("allow", "@office")))
    renamed = Group("bad", "feed", url=DROP.url, refresh_hours=1)
    draft = Document(groups=(renamed, HOME), rules=(rule("allow", "@bad", "192.0.2.1"),))
    found = wanted_lists([loaded], [draft])
    assert set(found) == {group_definition(DROP), group_definition(HOME)}
    drop, home = found[group_definition(DROP)], found[group_definition(HOME)]
    assert drop.group == DROP
    assert (drop.uses, drop.loaded) == (Uses(allow=True, block=True), Uses(block=True))
    assert (home.uses, home.loaded) == (Uses(), Uses())


def test_a_list_that_only_a_draft_has_keeps_the_drafts_period() -> None:
    found = wanted_lists([], [Document(groups=(HOME,), rules=(rule("allow", "@home"),))])
    (only,) = found.values()
    assert (only.group, only.uses, only.loaded) == (HOME, Uses(allow=True), Uses())
