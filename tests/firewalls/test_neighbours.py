"""A few operations of each kind of neighbour and one walk, for real: they agree with the recorded run."""

from __future__ import annotations

import pytest

from dockerfw.agent import drift_monitor
from tests.firewalls.record import NAME, row_cells
from tests.firewalls.tour import tour, walk
from tests.rig.docker_host import why_unavailable as why_no_engine
from tests.rig.matrix_results import read_record
from tests.rig.trees import why_unavailable as why_no_tree

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def _real(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := why_no_engine() or why_no_tree():
        pytest.skip(f"no other firewalls: {reason}")
    monkeypatch.setattr(drift_monitor, "SETTLE_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("ufw", ["ufw reload"]),
        ("firewalld, FirewallBackend=iptables", ["firewall-cmd --complete-reload"]),
        ("fail2ban, iptables-multiport", ["fail2ban bans"]),
    ],
)
def test_what_they_do_is_told_as_recorded(name: str, operations: list[str]) -> None:
    rows = list(tour(name, only=operations))
    assert [row.wrong for row in rows if row.wrong] == []
    known = [cell for cell in read_record(NAME).cells if cell.table == name and cell.row in operations]
    assert [cell for row in rows for cell in row_cells(row)] == known


def test_a_walk_by_chance_ends_in_what_is_told() -> None:
    taken = walk("fail2ban, nftables", 3, 10)
    assert taken.wrong == ()
    assert len(taken.steps) == 10
    assert taken.packets > 0
