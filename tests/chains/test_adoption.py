"""Adopting a manual change: the loaded rules become the draft as they were, together with the change."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from dockerfw.chains import import_sentences
from dockerfw.chains.adoption import adopt_live
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import earlier_rendering, render_restore
from dockerfw.document.document import digest, make_document, parse_document
from dockerfw.document.values import Document, DocumentRule, Group, Settings
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.differences import find_differences
from tests.chains.test_drift import CLEAN, DOCUMENT, after
from tests.rig.documents import documents, source_of


def loaded(document: Document) -> dict[Family, Ruleset]:
    return {
        family: parse_restore(CLEAN + render_restore(document, family, revision=1), family=family)
        for family in FAMILIES
    }


def changed(*lines: str) -> dict[Family, Ruleset]:
    """Return a host on which the document was loaded, then these commands were run for IPv4."""
    return {4: after(*lines), 6: after(family=6)}


def test_an_unchanged_load_gives_the_same_document() -> None:
    full = parse_document(
        {
            "format": "dockerfw/1",
            "settings": {"external_interfaces": ["ens33"], "refuse": "drop", "heal_anchors": True},
            "rules": [
                {"scope": "both", "protocol": "tcp", "ports": ["22", "8000-8010"], "comment": "ssh"},
                {"scope": "container", "source": "2001:db8::/64", "comment": "them"},
                {"scope": "container", "protocol": "udp", "ports": ["53"], "comment": "names"},
                {"scope": "host", "source": "192.0.2.7/32", "comment": "asleep", "enabled": False},
                {
                    "scope": "host",
                    "source": "0.0.0.0/0",
                    "protocol": "udp",
                    "ports": ["67"],
                    "comment": "4 only",
                },
            ],
            "expectations": [{"source": "any", "protocol": "tcp", "port": 22, "to": "host", "passes": True}],
        }
    )
    found = adopt_live(loaded(full), full)
    assert found is not None
    assert found.document == full
    assert digest(found.document) == digest(full)
    assert found.skipped == ()


def test_rules_of_a_release_without_sets_are_those_of_the_draft() -> None:
    web = {"id": "webs", "scope": "container", "protocol": "tcp", "ports": ["8080"], "comment": "shop"}
    draft = parse_document(
        {"format": "dockerfw/1", "settings": {"external_interfaces": ["ens33"]}, "rules": [web]}
    )
    live = {
        family: parse_restore(CLEAN + earlier_rendering(draft, family, 1).to_text(), family=family)
        for family in FAMILIES
    }
    found = adopt_live(live, draft)
    assert found is not None
    assert found.document == draft
    assert (found.skipped, found.notes) == ((), ())


def test_the_kernel_tells_whether_containers_reach_the_host() -> None:
    settings = {"external_interfaces": ["ens33"], "containers_reach_host": "allow"}
    allowing = parse_document({"format": "dockerfw/2", "settings": settings, "rules": []})
    found = adopt_live(loaded(allowing), DOCUMENT)
    assert found is not None
    assert found.document.settings.containers_reach_host == "allow"
    assert found.skipped == ()


def test_an_added_line_becomes_a_rule() -> None:
    live = changed("-I FILTERS-HOST 3 -s 203.0.113.9/32 -p tcp -m tcp --dport 25 -j RETURN")
    found = adopt_live(live, DOCUMENT)
    assert found is not None
    (new,) = [rule for rule in found.document.rules if rule.id not in {rule.id for rule in DOCUMENT.rules}]
    assert (new.scope, source_of(new), new.protocol, new.ports) == ("host", "203.0.113.9/32", "tcp", ("25",))
    kept = tuple(rule for rule in found.document.rules if rule.id != new.id)
    assert replace(found.document, rules=kept) == DOCUMENT


def test_a_line_that_no_rule_can_express_is_listed() -> None:
    live = changed("-I FILTERS-HOST 1 -m u32 --u32 0x0=0x1 -j DROP")
    found = adopt_live(live, DOCUMENT)
    assert found is not None
    assert ["u32" in line.text for line in found.skipped] == [True]
    assert found.document == DOCUMENT


def test_a_line_that_is_lost_is_said_as_packets() -> None:
    live = changed("-I FILTERS-HOST 1 -s 203.0.113.9 -p tcp -m tcp --dport 22 -j DROP")
    found = adopt_live(live, DOCUMENT)
    assert found is not None
    assert found.document == DOCUMENT
    (difference,) = find_differences(found.rulesets, found.document)
    assert difference.kind == "opens"
    assert "from 203.0.113.9 to 22/tcp (SSH) of the host" in difference.sentence


def test_a_line_behind_a_refusal_does_not_become_a_rule() -> None:
    live = changed("-A FILTERS -j RETURN")
    found = adopt_live(live, DOCUMENT)
    assert found is not None
    assert found.document == DOCUMENT
    assert [line.reason for line in found.skipped] == [import_sentences.ACCEPTS_LESS]
    assert find_differences(found.rulesets, found.document) == ()


def test_other_rules_do_not_become_part_of_the_draft() -> None:
    live = changed("-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT", "-I DOCKER-USER 1 -j DROP")
    found = adopt_live(live, DOCUMENT)
    assert found is not None
    assert (found.document, found.skipped) == (DOCUMENT, ())


def test_without_loaded_rules_there_is_nothing_to_adopt() -> None:
    assert adopt_live({4: parse_save(CLEAN), 6: parse_save("")}, DOCUMENT) is None
    found = adopt_live({4: after("-F DOCKER-USER"), 6: parse_save(CLEAN)}, DOCUMENT)
    assert found is not None
    # Without anchors the external interfaces are the draft's.
    assert found.document == DOCUMENT
    assert f"IPv6: {import_sentences.ONE_FAMILY_ONLY}" in map(str, found.notes)


def test_a_rule_that_differs_between_families_is_noted() -> None:
    edit = "-R FILTERS-HOST 4 -p tcp -m tcp --dport 23 -m comment --comment dockerfw:sshd -j RETURN"
    found = adopt_live(changed(edit), DOCUMENT)
    assert found is not None
    assert next(rule.ports for rule in found.document.rules if rule.id == "sshd") == ("22", "23")
    (note,) = found.notes
    assert str(note) == f"sshd: {import_sentences.FAMILIES_DIFFER}"
    both = {4: after(edit), 6: after(edit.replace("HOST 4", "HOST 5"), family=6)}
    found = adopt_live(both, DOCUMENT)  # type: ignore[arg-type]
    assert found is not None
    assert next(rule.ports for rule in found.document.rules if rule.id == "sshd") == ("23",)
    assert found.notes == ()


@settings(max_examples=60)
@given(documents())
def test_an_adopted_document_renders_to_the_same_rules(document: Document) -> None:
    found = adopt_live(loaded(document), document)
    assert found is not None
    plan = plan_changes(found.document, loaded(document))
    assert all(family.empty for family in plan.families.values()), plan


def test_rules_with_limits_times_and_sets_stay_as_the_draft_has_them() -> None:
    feed = Group("feed", "feed", url="https://lists.example/drop")
    office = Group("office", entries=("192.0.2.0/24", "2001:db8::/48"))
    rules = (
        DocumentRule("slow", "host", (), "tcp", ("22",), limit="6/minute", owner="ops"),
        DocumentRule("soon", "host", (), "tcp", ("23",), interface="wg0", expires="2027-01-31T18:00:00Z"),
        DocumentRule("next", "host", (), "tcp", ("24",), starts="2027-01-31T18:00:00Z"),
        DocumentRule("feed", "both", ("@feed",), "tcp", ("25",)),
        DocumentRule("some", "both", ("@office",), "tcp", ("26",)),
        DocumentRule("here", "both", (), "tcp", ("27",), to="192.0.2.1/32"),
        DocumentRule("shop", "container", ("10.0.0.0/8",), "tcp", ("8080",), container="shop/web"),
    )
    draft = make_document(Settings(("ens33",)), rules, groups=(feed, office))
    live = {
        family: parse_restore(
            CLEAN + render_restore(draft, family, revision=1, moment="2026-11-30T10:00:00Z"), family=family
        )
        for family in FAMILIES
    }
    found = adopt_live(live, draft)
    assert found is not None
    assert found.document == draft
    assert (found.skipped, found.notes) == ((), ())
    # A rule that the kernel holds in another way is no longer the draft's.
    other = make_document(
        draft.settings,
        tuple(replace(rule, limit="7/minute") if rule.id == "slow" else rule for rule in rules),
        groups=draft.groups,
    )
    changed_since = adopt_live(live, other)
    assert changed_since is not None
    assert "slow" not in {rule.id for rule in changed_since.document.rules}
    assert {"--hashlimit-burst" in each.reason for each in changed_since.skipped} == {True}
