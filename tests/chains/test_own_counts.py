"""What dockerfw's chains counted, read from saves."""

from __future__ import annotations

import pytest

from dockerfw.chains import names
from dockerfw.chains.kernel_state import sum_refused, sum_rule_counters, sum_rule_packets
from dockerfw.chains.names import is_log_line, own_chains, own_rules
from dockerfw.chains.own_counts import count_own
from dockerfw.document.document import parse_document
from dockerfw.iptables.model import Counters, Family, Ruleset
from dockerfw.iptables.parse import parse_save
from tests.rig.documents import document
from tests.rig.kernel_reports import CLEAN, save_of

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
MANY = {**SSH, "sources": [f"198.51.100.{each}" for each in range(20)]}
BAD = {"action": "block", "sources": ["203.0.113.0/24"], "scope": "both"}


@pytest.mark.parametrize(("rule", "lines"), [(SSH, 2), (MANY, 1), (BAD, 0)])
def test_what_rules_let_through_is_accepted(rule: dict[str, object], lines: int) -> None:
    one = parse_document(
        {"format": "dockerfw/2", "settings": {"external_interfaces": ["ens33"]}, "rules": [rule]}
    )
    counts = count_own({4: save_of(one, 4, 3, packets=7), 6: save_of(one, 6, 3, packets=7)})
    # One line for each family that the rule has, and none for loopback, open connections and icmp.
    assert counts.accepted == 7 * lines
    assert counts.refused > 0


def test_the_mark_changes_with_the_lines_and_not_with_their_counters() -> None:
    one = document(SSH, external_interfaces=["ens33"])
    mark = count_own({4: save_of(one, 4, 3), 6: ""}).mark
    assert count_own({4: save_of(one, 4, 3, packets=9), 6: ""}).mark == mark
    assert count_own({4: save_of(one, 4, 4), 6: ""}).mark != mark
    assert count_own({4: "", 6: save_of(one, 4, 3)}).mark != mark
    # Another program's chains count nothing here.
    assert count_own({4: CLEAN, 6: CLEAN}) == count_own({4: "", 6: ""})


def test_lines_of_other_chains_and_broken_ones_count_nothing() -> None:
    save = '[5:9] -A INPUT -m comment --comment "dockerfw:k3f9" -j RETURN\n'
    save += '[6:9] -A FILTERS-X -m comment --comment "dockerfw:k3f9" -j RETURN\n'
    save += "[x:1] -A FILTERS -j DROP\n-A FILTERS -j DROP\n"
    found = count_own({4: save})
    assert (found.refused, found.accepted) == (0, 0)


def test_what_was_refused_is_read_from_the_last_line_of_each_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def count(text: str) -> bool:
        read.append(text)
        return is_log_line(text)

    rules = [
        {**SSH, "sources": [], "ports": [str(number)], "interface": f"wg{number}"} for number in range(1, 99)
    ]
    settings = {"external_interfaces": ["ens33"], "log_refused": True}
    many = parse_document({"format": "dockerfw/2", "settings": settings, "rules": rules})
    live = parse_save(save_of(many, 4, 3, packets=7))
    chains = own_chains(live)
    assert sum(len(own_rules(live, name)) for name in chains) > 98
    monkeypatch.setattr(names, "is_log_line", count)
    assert sum_refused(live) == Counters(7, 420)
    assert len(read) <= len(chains)


def test_the_packets_of_rules_are_those_of_their_counters_where_there_were_any() -> None:
    lines = [
        ":FILTERS - [0:0]",
        '[0:0] -A FILTERS -m comment --comment "dockerfw:idle" -j RETURN',
        '[3:180] -A FILTERS -s 192.0.2.1/32 -m comment --comment "dockerfw:webs" -j RETURN',
        '[0:0] -A FILTERS -s 192.0.2.2/32 -m comment --comment "dockerfw:webs" -j RETURN',
        '[4:240] -A FILTERS -s 192.0.2.3/32 -m comment --comment "dockerfw:webs" -j RETURN',
        "[9:540] -A FILTERS -j DROP",
    ]
    live: dict[Family, Ruleset] = {4: parse_save("\n".join(["*filter", *lines, "COMMIT", ""]))}
    in_sets = {"webs": Counters(1, 60), "sets": Counters(2, 120)}
    counters = sum_rule_counters(live, in_sets)
    assert counters == {"idle": Counters(0, 0), "webs": Counters(8, 480), "sets": Counters(2, 120)}
    assert sum_rule_packets(live, in_sets) == {"webs": 8, "sets": 2}
