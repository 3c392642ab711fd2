"""The last use of rules as looks on the real kernel find it: in lines, in sets, and after an apply."""

from __future__ import annotations

import shlex

import pytest

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.snapshot_values import last_uses_of, rule_hits
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST, answer, order, run
from tests.rig.namespace import FAMILIES, Namespace
from tests.rig.static_sets import long_list, static_sets_in

pytestmark = pytest.mark.kernel


def keep(state: StateDirectory, sources: int, *, sequence: int) -> None:
    """Confirm a document with so many sources of port 22 in each family, and one of port 80."""
    value = long_list(sources)
    value["rules"].append({"id": "webs", "scope": "host", "protocol": "tcp", "ports": ["80"]})
    outcome = run(order(value, sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state, sequence=sequence).state == "confirmed"


def look(state: StateDirectory) -> Snapshot:
    """Look as a root worker that has just started does."""
    seen = DriftMonitor(state, host=HOST, tell=lambda event: None).look()
    assert Snapshot.from_json(load_json(dump_json(seen.to_json()))) == seen
    return seen


def used(seen: Snapshot) -> set[str]:
    return {name for name, use in last_uses_of(seen).items() if use.last is not None}


def count_line(inside: Namespace, packets: int) -> None:
    """Let the line of the rule for port 80 count so many packets."""
    lines = inside.output("iptables", "-S", "FILTERS-HOST").splitlines()
    rules = [line for line in lines if line.startswith("-A")]
    at = next(number for number, line in enumerate(rules, 1) if "dockerfw:webs" in line)
    words = shlex.split(rules[at - 1])[2:]
    inside.run("iptables", "-R", "FILTERS-HOST", str(at), *words, "-c", str(packets), "60")


def count_member(inside: Namespace, packets: int) -> None:
    """Let a member of a set count so many packets."""
    name = static_sets_in(inside)[0]
    inside.run(*f"ipset -exist add {name} 20.0.0.0/26 packets {packets} bytes 60 comment p22n40".split())


def test_a_use_is_found_in_lines_and_in_sets(inside: Namespace, state: StateDirectory) -> None:
    inside.add_interface()
    keep(state, 5, sequence=1)
    count_member(inside, 3)
    first = look(state)
    uses = last_uses_of(first)
    assert len(uses) == 11
    assert used(first) == set()
    assert all(use.unused_since(use.since) for use in uses.values())
    count_line(inside, 2)
    assert used(look(state)) == {"webs"}
    count_member(inside, 4)
    second = look(state)
    assert used(second) == {"webs", "p22n40"}
    live = {family: parse_save(second.saves[family]) for family in FAMILIES}
    counters = rule_hits(second, live)
    assert (counters["webs"].packets, counters["p22n40"].packets) == (2, 4)
    last = last_uses_of(second)["p22n40"]
    assert last.last is not None
    assert not last.unused_since(last.since)


def test_an_apply_and_a_reset_make_no_use(inside: Namespace, state: StateDirectory) -> None:
    inside.add_interface()
    keep(state, 5, sequence=1)
    count_member(inside, 3)
    count_line(inside, 2)
    look(state)
    # Six sources are another set, which takes over the counters.
    keep(state, 6, sequence=2)
    after = look(state)
    assert used(after) == set()
    assert len(last_uses_of(after)) == 13
    assert {each.id: each.packets for each in after.hits} == {"p22n40": 3}
    inside.run("iptables", "-Z")
    count_member(inside, 0)
    assert used(look(state)) == set()
    count_line(inside, 1)
    assert used(look(state)) == {"webs"}
    # While a window is open, what is known stays.
    assert run(order(long_list(7), sequence=3), state).state == "awaiting"
    assert used(look(state)) == {"webs"}


def test_without_the_counters_of_sets_nothing_is_counted(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.add_interface()
    keep(state, 5, sequence=1)
    look(state)
    count_line(inside, 2)
    with monkeypatch.context() as patch:
        patch.setattr("dockerfw.host.static_sets.MOST_BYTES", 10)
        assert look(state).uses is None
    assert used(look(state)) == {"webs"}
