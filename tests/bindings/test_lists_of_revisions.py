"""The sets of lists through applies, windows, their ends, and a boot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dockerfw.bindings.binder import Binder
from dockerfw.bindings.list_binder import bind_lists
from dockerfw.chains.group_sets import bound_group_set, group_definition
from dockerfw.document.values import Group
from dockerfw.host.bound_sets import list_bound_sets
from dockerfw.host.group_sets import read_group_set
from dockerfw.store.bootfiles import SCRIPT
from dockerfw.store.bound_lists import write_part
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST, answer, document, order, run
from tests.rig.list_orders import bound_list, list_order
from tests.rig.namespace import Namespace

pytestmark = pytest.mark.kernel

URL = "https://lists.example/drop.txt"
GROUP = Group("drop", "feed", url=URL)
V4, V6 = bound_group_set(GROUP, 4), bound_group_set(GROUP, 6)
LISTED = {
    "format": "dockerfw/2",
    "settings": {"external_interfaces": ["ens33"]},
    "groups": {"drop": {"kind": "feed", "url": URL}},
    "rules": [
        {"scope": "host", "protocol": "tcp", "ports": ["22"]},
        {"scope": "container", "protocol": "tcp", "ports": ["8080"], "sources": ["@drop"]},
    ],
}


def send(state: StateDirectory, *networks: str, sequence: int = 1) -> None:
    one, parts = bound_list(networks, group_definition(GROUP), sequence)
    for part in parts:
        write_part(state, part)
    bind_lists(state, list_order(one, sequence=sequence), host="local", now=datetime.now(UTC))


def look(state: StateDirectory) -> bool:
    return Binder(state, host=HOST).bind(whole=True)


def test_a_list_is_there_before_its_rules_and_goes_with_them(
    inside: Namespace, state: StateDirectory, make_namespace: Callable[..., Namespace], tmp_path: Path
) -> None:
    send(state, "198.51.100.0/24", "2001:db8:f::/48")
    outcome = run(order(LISTED), state)
    assert outcome.state == "awaiting", outcome.error
    assert (read_group_set(V4), read_group_set(V6)) == ({"198.51.100.0/24"}, {"2001:db8:f::/48"})
    assert answer("keep", state).state == "confirmed"
    assert look(state)
    # A list of another size is another size of its set, in which a set that exists is not created again.
    send(state, *(f"10.{n}.0.0/24" for n in range(200)), sequence=2)
    assert run(order(LISTED, sequence=2), state).state == "awaiting"
    assert answer("rollback", state, sequence=2).state == "rolled_back"
    assert look(state)
    assert len(read_group_set(V4) or ()) == 200
    inside.run("sh", str(state.boot / SCRIPT))
    assert len(read_group_set(V4) or ()) == 200
    booted = make_namespace("booted")
    with booted.entered():
        booted.run("sh", str(state.boot / SCRIPT))
        assert len(read_group_set(V4) or ()) == 200
        booted.run("ipset", "flush", V4)
        binder = Binder(state, host=HOST)
        assert binder.bind(whole=True)
        binder.restore_lists()
        assert len(read_group_set(V4) or ()) == 200
    assert run(order(document("22"), sequence=3), state).state == "awaiting"
    assert {V4, V6} <= {*list_bound_sets()}
    assert answer("keep", state, sequence=3).state == "confirmed"
    assert not look(state)
    assert list_bound_sets() == ()
