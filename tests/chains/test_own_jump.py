"""A family in which FORWARD does not call DOCKER-USER: dockerfw's own jump in FORWARD leads to its chains."""

from __future__ import annotations

import pytest

from dockerfw.chains.adoption import adopt_live
from dockerfw.chains.boot import render_boot_script
from dockerfw.chains.causes import DriftFacts
from dockerfw.chains.drift import DriftLine, find_drift
from dockerfw.chains.forwarding import add_own_jumps
from dockerfw.chains.healing import render_anchors
from dockerfw.chains.importing import import_save
from dockerfw.chains.loaded_documents import read_loaded_documents
from dockerfw.chains.panic import (
    is_panic_on,
    render_panic,
    render_panic_end,
    render_panic_undo,
    render_release,
)
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import loaded_rendering, render_restore
from dockerfw.chains.rendered_rules import read_rendering
from dockerfw.chains.undo import is_undone, render_undo
from dockerfw.document.document import parse_document
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore

DOCUMENT = parse_document(
    {
        "format": "dockerfw/1",
        "settings": {"external_interfaces": ["ens33", "ens34"]},
        "rules": [{"id": "webs", "scope": "container", "protocol": "tcp", "ports": ["8080"]}],
    }
)
BARE = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -j ACCEPT
COMMIT
"""
# Docker 20.10 with its experimental ip6tables.
NEVER_CALLED = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-USER -j RETURN
COMMIT
"""
JUMPS = ["-A FORWARD -i ens33 -j FILTERS-CONTAINERS", "-A FORWARD -i ens34 -j FILTERS-CONTAINERS"]
FACTS = DriftFacts(container_families=frozenset({6}))


def commands(*lines: str) -> str:
    return "\n".join(["*filter", *lines, "COMMIT", ""])


def after(save: str, *lines: str) -> Ruleset:
    """Return the family after a load of the document, and then these commands."""
    live = parse_save(save)
    text = render_restore(DOCUMENT, 6, live=live, revision=3, containers=True)
    return parse_restore(save + text + commands(*lines), family=6)


def forward(live: Ruleset) -> list[str]:
    chain = live.chain("filter", "FORWARD")
    return [rule.text for rule in chain.rules] if chain else []


@pytest.mark.parametrize("save", [BARE, NEVER_CALLED])
def test_a_load_puts_the_own_jumps_first_and_an_undo_removes_them(save: str) -> None:
    before, now = parse_save(save), after(save)
    assert forward(now) == [*JUMPS, *forward(before)]
    text = render_restore(DOCUMENT, 6, live=before, revision=3, containers=True)
    undo = render_undo(before, now, text)
    undone = parse_restore(save + text + undo, family=6)
    assert is_undone(before, undone, text)
    assert forward(undone) == forward(before)
    plan = plan_changes(DOCUMENT, {6: now}, revision=3, container_families={6})
    assert plan.empty
    assert find_drift(DOCUMENT, 3, {6: now}, FACTS, families=(6,)).findings == ()


def test_the_plan_offers_the_jumps_and_says_what_else_they_filter() -> None:
    plan = plan_changes(DOCUMENT, {6: parse_save(BARE)}, container_families={6})
    offered = [(each.action, each.text) for each in plan.families[6].anchors if each.chain == "FORWARD"]
    assert offered == [("insert", line.removeprefix("-A FORWARD ")) for line in JUMPS]
    assert [warning.code for warning in plan.warnings] == ["own-forward-jump"]
    without = plan_changes(DOCUMENT, {6: parse_save(BARE)})
    assert not [each for each in without.families[6].anchors if each.chain == "FORWARD"]
    assert [warning.code for warning in without.warnings] == ["docker-user-missing"]


@pytest.mark.parametrize("save", [BARE, BARE.replace(":OUTPUT", ":DOCKER-USER - [0:0]\n:OUTPUT")])
def test_the_plan_waits_for_no_docker_that_filters_with_nftables(save: str) -> None:
    live: dict[Family, Ruleset] = {6: parse_save(save)}
    assert plan_changes(DOCUMENT, live).warnings[0].code in ("docker-user-missing", "docker-not-filtering")
    plan = plan_changes(DOCUMENT, live, docker_nftables=True)
    assert [each.code for each in plan.warnings] == ["docker-nftables", "own-forward-jump"]
    assert [each.action for each in plan.families[6].anchors if each.chain == "FORWARD"] == ["insert"] * 2


def test_a_container_network_without_the_jumps_is_drift() -> None:
    live = after(BARE, *(f"-D{line[2:]}" for line in JUMPS))
    (finding,) = find_drift(DOCUMENT, 3, {6: live}, FACTS, families=(6,)).findings
    assert finding.code == "docker-user-not-called"
    assert finding.lines == tuple(DriftLine("-", line) for line in JUMPS)
    # Without such a network no container has an address that is not filtered.
    assert find_drift(DOCUMENT, 3, {6: live}, families=(6,)).findings == ()


@pytest.mark.parametrize(
    ("lines", "code", "left"),
    [
        ([f"-D{JUMPS[0][2:]}"], "docker-user-not-called", JUMPS),
        (["-F FORWARD"], "docker-user-not-called", JUMPS),
        (["-I FORWARD 1 -j ACCEPT"], "anchor-not-first", [*JUMPS, "-A FORWARD -j ACCEPT"]),
        (["-A FORWARD -j DOCKER-USER"], "own-jump-not-needed", ["-A FORWARD -j DOCKER-USER"]),
    ],
)
def test_healing_keeps_the_jumps_first_while_they_are_needed(
    lines: list[str], code: str, left: list[str]
) -> None:
    live = after(BARE, "-D FORWARD -j ACCEPT", *lines)
    drift = find_drift(DOCUMENT, 3, {6: live}, FACTS, families=(6,))
    assert {finding.code for finding in drift.findings} == {code}
    assert drift.only_anchors
    wanted = add_own_jumps(loaded_rendering("", DOCUMENT.settings).jumps, live, containers=True)
    text = render_anchors(wanted, live)
    load = render_restore(DOCUMENT, 6, live=parse_save(BARE), revision=3, containers=True)
    done = parse_restore(BARE + load + commands("-D FORWARD -j ACCEPT", *lines) + text, family=6)
    assert forward(done) == left
    assert find_drift(DOCUMENT, 3, {6: done}, FACTS, families=(6,)).findings == ()
    assert render_anchors(add_own_jumps(wanted, done), done) == ""


def test_the_jumps_stay_while_a_rule_accepts_before_docker_user() -> None:
    # Without them, what that rule accepts would reach the containers.
    live = after(BARE, "-A FORWARD -j DOCKER-USER")
    assert forward(live) == [*JUMPS, "-A FORWARD -j ACCEPT", "-A FORWARD -j DOCKER-USER"]
    assert find_drift(DOCUMENT, 3, {6: live}, FACTS, families=(6,)).findings == ()
    assert plan_changes(DOCUMENT, {6: live}, revision=3, container_families={6}).empty
    refusing = after(BARE, "-D FORWARD -j ACCEPT", "-A FORWARD -j DROP", "-A FORWARD -j DOCKER-USER")
    found = find_drift(DOCUMENT, 3, {6: refusing}, FACTS, families=(6,)).findings
    assert [finding.code for finding in found] == ["own-jump-not-needed"] * 2


def test_recorded_jumps_stay_needed_when_the_network_is_gone() -> None:
    loaded = loaded_rendering(
        render_restore(DOCUMENT, 6, live=None, revision=3), DOCUMENT.settings, own_jumps=True
    )
    assert read_rendering(loaded.to_text()) == loaded
    live = after(BARE, *(f"-D{line[2:]}" for line in JUMPS))
    found = find_drift(DOCUMENT, 3, {6: live}, families=(6,), loaded={6: loaded})
    assert [finding.code for finding in found.findings] == ["docker-user-not-called"]


def test_panic_and_release_know_the_jumps() -> None:
    live = after(BARE)
    panic = render_panic(6, live, ())
    load = render_restore(DOCUMENT, 6, live=parse_save(BARE), revision=3, containers=True)
    on = parse_restore(BARE + load + panic, family=6)
    assert is_panic_on(on)
    # The panic is told, and the jump after it is in its place.
    assert [each.code for each in find_drift(DOCUMENT, 3, {6: on}, FACTS, families=(6,)).findings] == [
        "panic"
    ]
    ended = parse_restore(BARE + load + panic + render_panic_end(on), family=6)
    assert forward(ended) == forward(live)
    released = parse_restore(BARE + load + render_release(live), family=6)
    assert forward(released) == ["-A FORWARD -j ACCEPT"]
    back = parse_restore(BARE + load + render_release(live) + render_panic_undo(live, released), family=6)
    assert forward(back) == forward(live)


def test_imports_and_adoption_read_the_interfaces_from_the_jumps() -> None:
    live = after(BARE, "-F DOCKER-USER")
    document = read_loaded_documents({6: live})[6]
    assert document.settings.external_interfaces == ("ens33", "ens34")
    imported = adopt_live({6: live}, parse_document({"format": "dockerfw/1"}))
    assert imported is not None
    assert imported.document.settings.external_interfaces == ("ens33", "ens34")
    table = live.tables["filter"]
    lines = [rule.text for chain in table.chains.values() for rule in chain.rules]
    save = commands(
        *(f":{chain.name} {chain.policy or '-'} [0:0]" for chain in table.chains.values()), *lines
    )
    found = import_save(save)
    assert found.document.settings.external_interfaces == ("ens33", "ens34")
    assert [line.text for line in found.skipped] == ["-A FORWARD -j ACCEPT"]


def test_the_boot_script_places_the_jumps_of_the_families_that_need_them() -> None:
    assert 'case "$1" in ip6tables-nft)' in render_boot_script("nft", ["ens33"], "/boot", [6])
    both = render_boot_script("legacy", ["ens33"], "/boot", [6, 4])
    assert 'case "$1" in iptables-legacy|ip6tables-legacy)' in both
    # An earlier release wrote the same, so an upgrade finds no difference.
    assert "FORWARD -i" not in render_boot_script("nft", ["ens33"], "/boot")
