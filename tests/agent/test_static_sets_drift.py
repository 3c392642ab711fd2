"""Static sets that another program changes: found at the next look, told, and repaired."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from dockerfw.agent import drift_monitor as monitor_module
from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.agent.panic import release
from dockerfw.doctor.kernel import judge_kernel
from dockerfw.doctor.kernel_facts import look_at_kernel
from dockerfw.host.static_sets import fill_static_sets, read_static_sets
from dockerfw.iptables.model import Counters
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.loaded import LoadedRules
from dockerfw.messages.snapshot_values import drift_of, rule_hits, surroundings_of, with_static_members
from dockerfw.messages.snapshots import Snapshot
from dockerfw.simulation.set_members import ids_of
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST, answer, order, run
from tests.rig.namespace import FAMILIES, Namespace
from tests.rig.static_sets import long_list, numbered, static_sets_in

pytestmark = pytest.mark.kernel


class Watched:
    """A host with a confirmed list of sources, and its drift monitor."""

    def __init__(self, namespace: Namespace, state: StateDirectory) -> None:
        self.namespace, self.state = namespace, state
        self.told: list[ConsoleEvent] = []
        self.monitor = DriftMonitor(state, host=HOST, tell=self.told.append)
        self.sets: list[str] = []

    def keep(self, count: int, *, heal: bool = False, sequence: int = 1) -> None:
        value = long_list(count)
        value["settings"]["heal_anchors"] = heal
        outcome = run(order(value, sequence=sequence), self.state)
        assert outcome.state == "awaiting", outcome.error
        assert answer("keep", self.state, sequence=sequence).state == "confirmed"
        self.sets = static_sets_in(self.namespace)

    def look(self) -> Snapshot:
        seen = self.monitor.look()
        assert Snapshot.from_json(load_json(dump_json(seen.to_json()))) == seen
        return seen

    def codes(self, seen: Snapshot) -> set[str]:
        """Return what differs, from what the dashboard knows: the snapshot and the loaded rules."""
        confirmed = read_confirmed(self.state.boot)
        assert confirmed is not None
        loaded = LoadedRules.of(HOST, 1, "0" * 64, confirmed.loaded)
        live = {family: parse_save(seen.saves[family]) for family in FAMILIES}
        drift = drift_of(seen, live, confirmed.document, confirmed.revision, loaded=loaded.rules())
        return {str(finding.code) for finding in drift.findings} - {"interface-missing"}


@pytest.fixture
def watched(inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A host with 70 sources in each family."""
    monkeypatch.setattr(monitor_module, "SETTLE_SECONDS", 0.0)
    inside.add_interface()
    one = Watched(inside, state)
    one.keep(70)
    return one


def test_a_list_half_lost_is_found_at_the_next_look_and_told_once(watched: Watched) -> None:
    assert watched.codes(watched.look()) == set()
    assert watched.told == []
    half = "".join(f"del {watched.sets[0]} {net}\n" for net in list(numbered(70).members)[:35])
    watched.namespace.run("ipset", "restore", stdin=half)
    seen = watched.look()
    watched.look()
    (event,) = watched.told
    assert event.verb == "drift"
    assert "IPv4: 1 source list is not as revision 1 loaded it. 35 networks are missing." in event.detail
    assert f"- {watched.sets[0]} 20.0.0.0/26 p22n40" in event.detail
    assert watched.codes(seen) == {"sets-changed"}
    state = next(each for each in seen.static_sets if each.name == watched.sets[0])
    assert (state.entries, state.intact, state.lost, state.added, len(state.lines)) == (35, False, 35, 0, 20)
    findings = {found.id: found for found in judge_kernel(look_at_kernel(HOST, watched.state))}
    assert findings["chains.confirmed"].level == "problem"
    assert "35 networks" in findings["chains.confirmed"].text
    confirmed = read_confirmed(watched.state.boot)
    assert confirmed is not None
    fill_static_sets(confirmed.sets)
    assert watched.codes(watched.look()) == set()
    assert [each.verb for each in watched.told] == ["drift", "drift-gone"]


@pytest.mark.parametrize("extra", ["0.0.0.0/1", "20.0.0.0/26"])
def test_an_edited_list_is_found_also_by_those_who_know_only_its_name(watched: Watched, extra: str) -> None:
    name = watched.sets[0]
    watched.namespace.run("ipset", "del", name, "20.0.0.64/26")
    watched.namespace.run("ipset", "-exist", "add", name, extra, "comment", "p22n41")
    assert watched.codes(watched.look()) == {"sets-changed"}
    # A monitor without a confirmed revision, as while a window is open.
    (watched.state.boot).unlink()
    seen = DriftMonitor(watched.state, host=HOST, tell=watched.told.append).look()
    state = next(each for each in seen.static_sets if each.name == name)
    assert (state.intact, state.lost, state.lines) == (False, 0, ())


def test_self_repair_restores_lists_and_jumps_where_the_document_asks_for_it(watched: Watched) -> None:
    watched.namespace.run("ipset", "flush", watched.sets[1])
    watched.monitor.look_and_heal()
    assert [each.verb for each in watched.told] == ["drift"]
    watched.keep(71, heal=True, sequence=2)
    watched.told.clear()
    watched.namespace.run("ipset", "flush", watched.sets[1])
    watched.namespace.iptables("-D", "INPUT", "-j", "FILTERS-HOST")
    seen = watched.monitor.look_and_heal()
    assert [each.verb for each in watched.told] == ["drift", "heal"]
    assert "restored the jumps and the source lists of revision 2." in watched.told[1].detail
    assert watched.codes(seen) == set()
    assert [len(one.elements) for one in read_static_sets(watched.sets).values()] == [71, 71]


def test_nothing_else_is_repaired(watched: Watched) -> None:
    watched.keep(71, heal=True, sequence=2)
    watched.namespace.run("ipset", "flush", watched.sets[1])
    watched.namespace.iptables("-D", "FILTERS-HOST", "1")
    watched.monitor.look_and_heal()
    assert [each.verb for each in watched.told] == ["drift"]
    assert len(read_static_sets()[watched.sets[1]].elements) == 0


def test_lists_that_cannot_be_read_are_unknown(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ipset").write_text("#!/bin/sh\necho 'Operation not permitted' >&2; exit 1\n")
    (tmp_path / "ipset").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    seen = watched.look()
    assert watched.codes(seen) == {"sets-unread"}
    assert any("NET_ADMIN" in error.stderr for error in seen.errors)
    assert watched.told == []


def test_the_dashboard_knows_the_members_of_intact_lists_only(watched: Watched) -> None:
    hits = f"-exist add {watched.sets[0]} 20.0.0.0/26 packets 7 bytes 420 comment p22n40"
    watched.namespace.run("ipset", *hits.split())
    watched.namespace.run("ipset", "del", watched.sets[1], next(iter(numbered(1, family=6).members)))
    seen = watched.look()
    assert [(each.id, each.packets, each.bytes) for each in seen.hits] == [("p22n40", 7, 420)]
    assert seen.sets == ()
    live = {family: parse_save(seen.saves[family]) for family in FAMILIES}
    assert rule_hits(seen, live) == {"p22n40": Counters(7, 420)}
    counted = '[2:80] -A FILTERS -m comment --comment "dockerfw:p22n40" -j RETURN'
    line = parse_save(f"*filter\n:FILTERS - [0:0]\n{counted}\nCOMMIT\n")
    assert rule_hits(seen, {4: line}) == {"p22n40": Counters(9, 500)}
    confirmed = read_confirmed(watched.state.boot)
    assert confirmed is not None
    around = surroundings_of(with_static_members(seen, confirmed.sets))
    known = around.sets[watched.sets[0]]
    assert {each.partition(" ")[0] for each in known.members or ()} == set(numbered(70).members)
    # The comments tell the trace which rules a member stands for.
    assert ids_of(known, ip_address("20.0.0.9")) == ("p22n40",)
    assert with_static_members(seen, confirmed.sets).sets[0].members is known.members
    assert around.sets[watched.sets[1]].members is None


def test_leftovers_of_a_killed_apply_go_at_the_next_look(watched: Watched) -> None:
    fill_static_sets([numbered(9), numbered(9, family=6)])
    watched.namespace.run("ipset", "create", "dockerfw4-t0123456789abcdef0123", "hash:net")
    with watched.state.lock():
        watched.look()
        assert len(static_sets_in(watched.namespace)) == 5
    watched.look()
    assert static_sets_in(watched.namespace) == watched.sets


def test_a_release_keeps_the_sets_of_the_chains_that_stay(watched: Watched) -> None:
    fill_static_sets([numbered(9)])
    assert release(watched.state).changed
    watched.look()
    assert static_sets_in(watched.namespace) == watched.sets


def test_a_large_list_leaves_the_snapshot_small(inside: Namespace, state: StateDirectory) -> None:
    large = numbered(100_000, "k3f9", "ab12")
    fill_static_sets([large])
    inside.restore(
        f"*filter\n:FILTERS - [0:0]\n-A FILTERS -m set --match-set {large.name} src -j RETURN\nCOMMIT\n"
    )
    seen = DriftMonitor(state, host=HOST, tell=lambda _: None).look()
    assert [(each.entries, each.intact) for each in seen.static_sets] == [(100_000, True)]
    assert len(dump_json(seen.to_json())) < 20_000
