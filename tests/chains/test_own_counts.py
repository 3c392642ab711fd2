"""What dockerfw's chains counted, read from saves."""

from __future__ import annotations

import pytest

from dockerfw.chains.own_counts import count_own
from dockerfw.document.document import parse_document
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
