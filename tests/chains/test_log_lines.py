"""The lines that log refused packets: one before each line that refuses, and invisible to what compares."""

from __future__ import annotations

import pytest

from dockerfw.chains.boot import render_boot_script
from dockerfw.chains.drift import find_drift
from dockerfw.chains.importing import import_rulesets
from dockerfw.chains.log_lines import (
    DEFAULT_GROUP,
    add_log_lines,
    drop_log_lines,
    has_log_lines,
    logged_groups,
    misses_log_lines,
)
from dockerfw.chains.names import is_log_line
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import render, write_restore
from dockerfw.chains.rendered_rules import read_rendering
from dockerfw.document.document import Document, parse_document
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.replay import parse_restore

BLOCKED = [f"203.0.113.{number}" for number in range(1, 9)]
LIMITS = (
    "-m hashlimit --hashlimit-upto 20/sec --hashlimit-burst 50 --hashlimit-mode srcip"
    " --hashlimit-name dockerfw-log1 --hashlimit-htable-max 65536 --hashlimit-srcmask 16"
    " -m limit --limit 200/sec --limit-burst 400"
)


def document(*, log: bool = True, rules: int = 3) -> Document:
    return parse_document(
        {
            "format": "dockerfw/2",
            "settings": {"external_interfaces": ["ens33"], "log_refused": log},
            "rules": [
                {"id": "web1", "protocol": "tcp", "ports": ["80"]},
                {"id": "bad1", "action": "block", "sources": ["198.51.100.7"]},
                {"id": "bad2", "action": "block", "sources": BLOCKED, "protocol": "udp", "ports": ["53"]},
            ][:rules],
        }
    )


def loaded(family: Family = 4, *, group: int = DEFAULT_GROUP, rules: int = 3) -> Ruleset:
    found = add_log_lines(render(document(rules=rules), family, 7), family, 7, group)
    return parse_restore(f"*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n{_body(found, family)}")


def _body(found: object, family: Family) -> str:
    return write_restore(found, family).removeprefix("*filter\n")  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_line_that_refuses_has_a_log_line_before_it(family: Family) -> None:
    plain = render(document(), family, 7)
    found = add_log_lines(plain, family, 7, 12)
    refusing = 0
    for name, lines in found.chains.items():
        for before, line in zip(("", *lines), lines, strict=False):
            if line.endswith("-j DROP") or "-j REJECT" in line:
                assert is_log_line(f" {before}"), (name, line)
                refusing += 1
            assert not (is_log_line(f" {line}") and is_log_line(f" {before}"))
    assert refusing == (4 if family == 4 else 2)
    assert drop_log_lines(found) == plain
    assert has_log_lines(found.chains)
    assert not has_log_lines(plain.chains)
    assert drop_log_lines(plain) is plain


def test_a_log_line_has_the_matches_of_its_line_but_counts_no_rule_and_no_member() -> None:
    found = add_log_lines(render(document(), 4, 7), 4, 7, 12)
    block = found.chains["FILTERS-BLOCK"]
    (name,) = (one.name for one in found.sets)
    assert block[0] == (
        f'-s 198.51.100.7/32 {LIMITS} -j NFLOG --nflog-prefix "dockerfw r7 block" --nflog-group 12'
    )
    assert block[1] == '-s 198.51.100.7/32 -m comment --comment "dockerfw:bad1" -j DROP'
    assert f"--match-set {name} src ! --update-counters {LIMITS} -j NFLOG" in block[2]
    assert found.chains["FILTERS"][-2] == (
        f'{LIMITS} -j NFLOG --nflog-prefix "dockerfw r7 refused" --nflog-group 12'
    )
    assert "dockerfw r7 loopback" in found.chains["FILTERS-CONTAINERS"][1]
    assert not any(
        "dockerfw:" in line for lines in found.chains.values() for line in lines if "NFLOG" in line
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kernel_with_log_lines_has_no_drift_with_and_without_a_copy_of_what_was_loaded(
    family: Family,
) -> None:
    live = loaded(family)
    copy = read_rendering(
        f"*filter\n{_body(add_log_lines(render(document(), family, 7), family, 7, 5), family)}"
    )
    assert find_drift(document(), 7, {family: live}, families=(family,)).findings == ()
    assert find_drift(document(), 7, {family: live}, families=(family,), loaded={family: copy}).findings == ()


def test_a_kernel_of_an_earlier_release_has_no_drift_and_the_plan_offers_the_log_lines() -> None:
    bare = parse_restore(
        f"*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n{_body(render(document(), 4, 7), 4)}"
    )
    assert find_drift(document(), 7, {4: bare}, families=(4,)).findings == ()
    assert plan_changes(document(), {4: bare}, revision=7).empty
    offered = plan_changes(document(), {4: bare}, revision=7, log_group=12)
    assert offered.logs == "adds"
    assert not offered.empty
    assert not offered.changes_rules


@pytest.mark.parametrize(
    ("log", "group", "held", "change"),
    [
        (True, 12, 12, ""),
        (True, 12, 13, "adds"),
        (False, 12, 12, "removes"),
        (False, None, 12, "removes"),
        (True, None, 12, "removes"),
    ],
)
def test_the_plan_tells_what_becomes_of_log_lines(
    log: bool, group: int | None, held: int, change: str
) -> None:
    live = loaded(group=held)
    assert logged_groups(live) == {held}
    assert misses_log_lines(document(log=log), live, group) == bool(change)
    found = plan_changes(document(log=log), {4: live}, log_group=group)
    assert found.logs == change
    assert not found.changes_rules


def test_an_import_reads_rules_past_their_log_lines() -> None:
    found = import_rulesets((loaded(rules=1),))
    assert found.skipped == ()
    assert [rule.id for rule in found.document.rules] == ["web1"]


@pytest.mark.parametrize(
    "text",
    [
        "-A FILTERS -j NFLOG",
        '-A FILTERS -j NFLOG --nflog-prefix "fail2ban"',
        '-A FILTERS -j DROP -m comment --comment " -j NFLOG --nflog-prefix \\"dockerfw r7 block\\""',
        '-A FILTERS -j LOG --log-prefix "dockerfw r7 refused"',
    ],
)
def test_lines_of_others_are_no_log_lines(text: str) -> None:
    assert not is_log_line(text)


def test_a_boot_that_cannot_log_loads_the_rules_without_the_log_lines() -> None:
    before = render_boot_script("nft", ("ens33",), "/boot")
    script = render_boot_script("nft", ("ens33",), "/boot", logs=True)
    assert "NFLOG" not in before
    assert 'if restore "$1" "$2" && anchors "$1"; then' in script
