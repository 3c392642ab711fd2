"""From a snapshot to the simulator: the surroundings, the live rules, the rules after a load."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface
from itertools import pairwise

import pytest

from dockerfw.chains.drift import find_drift
from dockerfw.chains.plan import plan_changes
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import surroundings_of
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import simulate
from rules.models import Host
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot
from rules.seen.surroundings_selectors import (
    after_load,
    document_key,
    prepare_family,
    prepare_family_after,
    sight_key,
)
from tests.rig.kernel_reports import CLEAN, UNREAD_6, save_of, snapshot_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue")]

SETTINGS = {"external_interfaces": ["ens33"]}


def document(**rule: object) -> Document:
    value = {"format": "dockerfw/1", "settings": SETTINGS, "rules": [{"scope": "both", **rule}]}
    return parse_document(value)


OLD, NEW = document(source="192.0.2.0/24"), document(protocol="tcp", ports=["22"])


def seen(host: Host) -> SnapshotView:
    view = latest_snapshot(host)
    assert view is not None
    return view


def test_surroundings_are_the_snapshots(host: Host) -> None:
    snapshot_store(host, OLD, 1, bridge=("172.17.0.1/16",))
    found = surroundings_of(seen(host).snapshot)
    assert {each.name: each.addresses for each in found.interfaces} == {
        "docker0": (ip_interface("172.17.0.1/16"),),
        "ens33": (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")),
        "lo": (ip_interface("127.0.0.1/8"), ip_interface("::1/128")),
    }
    assert (found.default_routes[4], found.default_routes[6]) == (("ens33",), ())


@pytest.mark.parametrize("before", [None, OLD, NEW])
def test_a_load_that_is_thought_of_leaves_what_a_real_one_would(host: Host, before: Document | None) -> None:
    snapshot_store(host, before, 1)
    view = seen(host)
    thought = {family: after_load(view, NEW, 2, family) for family in FAMILIES}
    assert not find_drift(NEW, 2, thought).findings
    assert plan_changes(NEW, thought, revision=2).empty
    forward = thought[4].chain("filter", "FORWARD")
    assert forward is not None
    assert (forward.policy, [rule.text for rule in forward.rules]) == ("DROP", ["-A FORWARD -j DOCKER-USER"])


def test_what_is_prepared_is_kept_until_the_rules_change(host: Host) -> None:
    snapshot_store(host, OLD, 1)
    view = seen(host)
    live = prepare_family(view, 4)
    assert live is not None
    assert live.ruleset == parse_save(save_of(OLD, 4, 1))
    after, again = (prepare_family_after(view, NEW, 2, 4) for _ in range(2))
    assert after is not None
    assert again is not None
    assert after.chains is again.chains
    assert after.chains is not live.chains
    snapshot_store(host, OLD, 1)
    assert chains_of(seen(host)) is live.chains
    snapshot_store(host, NEW, 2)
    assert chains_of(seen(host)) is not live.chains


def test_rules_that_could_not_be_read_are_not_no_rules(host: Host) -> None:
    snapshot_store(host, saves={4: CLEAN, 6: ""}, around={"errors": UNREAD_6})
    view = seen(host)
    assert prepare_family(view, 4) is not None
    assert prepare_family(view, 6) is None
    assert prepare_family_after(view, NEW, 2, 6) is None
    snapshot_store(host, saves={4: CLEAN, 6: ""}, families=(4,))
    assert prepare_family(seen(host), 6) is None


def test_a_family_without_any_rules_is_read_all_the_same(host: Host) -> None:
    # ip6tables-save prints nothing before something first used the tables.
    snapshot_store(host, saves={4: CLEAN, 6: ""})
    view = seen(host)
    live, after = prepare_family(view, 6), prepare_family_after(view, NEW, 2, 6)
    assert live is not None
    assert not live.ruleset.tables
    assert after is not None
    assert after.ruleset.chain("filter", "FILTERS") is not None


def test_what_is_compiled_is_kept_while_only_the_counters_move(host: Host) -> None:
    snapshot_store(host, OLD, 1, packets=1)
    first = chains_of(seen(host))
    snapshot_store(host, OLD, 1, packets=2)
    assert chains_of(seen(host)) is first
    snapshot_store(host, NEW, 1, packets=2)
    assert chains_of(seen(host)) is not first
    snapshot_store(host, OLD, 1, bridge=("172.17.0.1/16",))
    assert chains_of(seen(host)) is not first


def chains_of(view: SnapshotView) -> object:
    """Return the compiled rules of IPv4."""
    found = prepare_family(view, 4)
    assert found is not None
    return found.chains


WINDOW = "-m time --datestart 2026-11-30T18:00:00 --datestop 2027-01-31T18:00:00"
LIMITED = CLEAN.replace("COMMIT", f"-A INPUT {WINDOW} -j DROP\nCOMMIT", 1)
MOMENTS = ("2026-11-30T17:59:59Z", "2026-11-30T18:00:00Z", "2027-01-31T18:00:00.9Z", "2027-01-31T18:00:01Z")


def test_a_snapshot_answers_for_its_moment_by_the_clock_of_its_host(host: Host) -> None:
    packet = Packet(4, ip_address("203.0.113.5"), ip_address("192.0.2.1"), 6, "ens33", destination_port=22)
    keys, verdicts = [], []
    for moment in MOMENTS:
        snapshot_store(host, saves={4: LIMITED, 6: ""}, around={"taken_at": moment})
        view = seen(host)
        live = prepare_family(view, 4)
        assert live is not None
        keys.append(sight_key(view))
        verdicts.append(simulate(live, packet).verdict.kind)
    assert verdicts == ["ACCEPT", "DROP", "DROP", "ACCEPT"]
    # Results are remembered until an end has passed, and no longer.
    assert [one == other for one, other in pairwise(keys)] == [False, True, False]


def test_what_is_remembered_of_a_document_ends_with_its_times(host: Host) -> None:
    snapshot_store(host, OLD, 1)
    view = seen(host)
    rule = replace(NEW.rules[0], starts="2026-11-30T18:00:00Z", expires="2027-01-31T18:00:00Z")
    limited = replace(NEW, rules=(rule,))
    keys = [
        document_key(replace(view, snapshot=replace(view.snapshot, taken_at=moment)), limited)
        for moment in (*MOMENTS, "2027-03-01T00:00:00Z")
    ]
    assert len(set(keys)) == 4
    assert keys[-1] == keys[-2]
