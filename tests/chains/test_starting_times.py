"""Rules that expire and limits of new connections, as they are written and kept over applies."""

from __future__ import annotations

import pytest

from dockerfw.chains.new_connections import limit_match, stamp_times, time_match
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import render, render_restore
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.replay import parse_restore
from tests.rig.compiled_documents import document, rule

CLEAN = "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n"
FIRST, LATER = "2026-12-01T10:00:00Z", "2027-01-10T12:30:00.123456Z"
EXPIRES = "2027-01-31T18:00:00Z"


def _line(moment: str, live: Ruleset | None = None, **keys: str) -> str:
    wanted = document([rule("ends", "host", protocol="tcp", ports="22", **keys)])
    lines = render(wanted, 4, live=live, moment=moment).chains["FILTERS-HOST"]
    (line,) = (line for line in lines if "dockerfw:ends" in line)
    return line


def _loaded(moment: str, **keys: str) -> Ruleset:
    wanted = document([rule("ends", "host", protocol="tcp", ports="22", **keys)])
    return parse_restore(CLEAN + render_restore(wanted, 4, moment=moment))


def test_a_rule_that_expires_starts_at_the_apply_that_first_loaded_it() -> None:
    line = "-p tcp -m tcp --dport 22 -m time {}--datestop 2027-01-31T18:00:00 "
    line += '-m comment --comment "dockerfw:ends" -j RETURN'
    assert _line("", expires=EXPIRES) == line.format("")
    assert _line(FIRST, expires=EXPIRES) == line.format("--datestart 2026-12-01T10:00:00 ")
    live = _loaded(FIRST, expires=EXPIRES)
    for moment in (LATER, ""):
        assert _line(moment, live, expires=EXPIRES) == line.format("--datestart 2026-12-01T10:00:00 ")
    # Another time of its end makes it another rule.
    changed = _line(LATER, live, expires="2027-02-01T00:00:00Z")
    assert "--datestart 2027-01-10T12:30:00 --datestop 2027-02-01T00:00:00" in changed


def test_a_rule_does_not_start_before_its_own_time() -> None:
    starts = "2027-01-20T00:00:00Z"
    window = "-m time --datestart 2027-01-20T00:00:00 --datestop 2027-01-31T18:00:00"
    assert window in _line(FIRST, starts=starts, expires=EXPIRES)
    # What the kernel holds starts earlier than the rule does now.
    assert window in _line(LATER, _loaded(FIRST, expires=EXPIRES), starts=starts, expires=EXPIRES)
    # A rule that only starts ends with the kernel's last time, as iptables-save prints it.
    assert "--datestart 2027-01-20T00:00:00 --datestop 2038-01-19T03:14:07" in _line(LATER, starts=starts)


def test_a_later_apply_plans_nothing_for_a_rule_that_expires() -> None:
    wanted = document([rule("ends", "both", ["192.0.2.0/24"], protocol="gre", expires=EXPIRES)])
    live = parse_restore(CLEAN + render_restore(wanted, 4, moment=FIRST).replace("-p 47", "-p gre"))
    assert not plan_changes(wanted, {4: live}).changes_rules
    text = render_restore(wanted, 4, live=live, moment=LATER)
    assert "--datestart 2026-12-01T10:00:00" in text


def test_lines_without_an_end_are_left_as_they_are() -> None:
    chains = {"FILTERS": ("-j DROP",)}
    assert stamp_times(chains, 4, None, FIRST) is chains
    assert time_match("", "") == ""


@pytest.mark.parametrize(
    ("limit", "family", "match"),
    [
        ("6/minute", 4, "6/min --hashlimit-burst 6 --hashlimit-mode srcip {} 65536"),
        ("6/minute", 6, "6/min --hashlimit-burst 6 --hashlimit-mode srcip {} 65536 --hashlimit-srcmask 64"),
        ("5/second", 4, "5/sec --hashlimit-burst 5 --hashlimit-mode srcip {} 65536"),
        (
            "60/hour",
            4,
            "1/min --hashlimit-burst 60 --hashlimit-mode srcip {} 65536 --hashlimit-htable-expire 3600000",
        ),
        ("99999/hour", 4, "100000/hour --hashlimit-burst 99999 --hashlimit-mode srcip {} 65536"),
    ],
)
def test_a_limit_is_written_as_it_is_saved(limit: str, family: Family, match: str) -> None:
    found = limit_match("sshd", limit, family)
    name = found.split("--hashlimit-name ")[1].split()[0]
    names = f"--hashlimit-name {name} --hashlimit-htable-max"
    assert found == f"-m hashlimit --hashlimit-upto {match.format(names)}"


def test_the_table_of_a_limit_has_another_name_for_other_parameters() -> None:
    names = {
        limit_match(identifier, limit, family).split("--hashlimit-name ")[1].split()[0]
        for identifier in ("sshd", "webs")
        for limit in ("6/minute", "6/hour", "7/minute")
        for family in (4, 6)
    }
    assert len(names) == 12
    assert all(name.startswith(("dockerfw-sshd-", "dockerfw-webs-")) for name in names)
    # All lines of a rule share the table.
    sources = ["192.0.2.1/32", "192.0.2.2/32"]
    many = rule("sshd", "host", sources, protocol="tcp", ports=("22", "23"), limit="6/minute")
    lines = [line for line in render(document([many]), 4).chains["FILTERS-HOST"] if "hashlimit" in line]
    assert len({line.split("-m hashlimit")[1] for line in lines}) == 1
    assert all(line.split(" -m ")[-1].startswith("hashlimit ") for line in lines)
