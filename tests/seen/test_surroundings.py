"""From a snapshot to the simulator: the surroundings, the live rules, the rules after a load."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from dockerfw.chains.drift import find_drift
from dockerfw.chains.plan import plan_changes
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import surroundings_of
from rules.models import Host
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot
from rules.seen.surroundings_selectors import after_load, prepare_family, prepare_family_after
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
    assert prepare_family_after(view, NEW, 2, 4) is prepare_family_after(view, NEW, 2, 4)
    assert prepare_family_after(view, NEW, 2, 4) is not live
    snapshot_store(host, OLD, 1)
    assert prepare_family(seen(host), 4) is live
    snapshot_store(host, NEW, 2)
    assert prepare_family(seen(host), 4) is not live


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
    first = prepare_family(seen(host), 4)
    snapshot_store(host, OLD, 1, packets=2)
    assert prepare_family(seen(host), 4) is first
    snapshot_store(host, NEW, 1, packets=2)
    assert prepare_family(seen(host), 4) is not first
    snapshot_store(host, OLD, 1, bridge=("172.17.0.1/16",))
    assert prepare_family(seen(host), 4) is not first
