"""Packets and static sets: a list allows its sources from the apply on, and their hits are told by rule."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import rule_hits
from dockerfw.store.state import StateDirectory
from tests.rig.connections import connect, listening
from tests.rig.host_states import HOST, answer, order, run
from tests.rig.namespace import FAMILIES, Backend, Namespace, join_namespaces

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can join two namespaces"),
]

HERE, LISTED, OTHER = "192.0.2.1", "192.0.2.2", "192.0.2.3"
HERE_6, LISTED_6 = "2001:db8::1", "2001:db8::2"


@pytest.fixture
def client(inside: Namespace, make_namespace: Callable[..., Namespace]) -> Iterator[Namespace]:
    """A machine with two addresses on the network of the host, which listens on port 22."""
    other = make_namespace("client")
    join_namespaces(inside, "ens33", other, "eth0")
    inside.add_addresses("ens33", f"{HERE}/24", f"{HERE_6}/64")
    other.add_addresses("eth0", f"{LISTED}/24", f"{OTHER}/24", f"{LISTED_6}/64")
    with listening(inside, HERE, 22, "ssh"), listening(inside, HERE_6, 22, "ssh"):
        yield other


def load(state: StateDirectory, sequence: int, *more: str, shared: bool = False) -> None:
    """Load a list of sources for port 22, and keep it; `shared` beside another rule for that port."""
    four = [f"203.0.113.{last}" for last in range(1, 9)]
    six = [f"2001:db8:1::{last}" for last in range(1, 9)]
    rule = {"scope": "host", "protocol": "tcp", "ports": ["22"], "id": "k3f9"}
    others = [{**rule, "sources": four, "id": "ab12"}] if shared else []
    value = {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "rules": [{**rule, "sources": [*four, *six, *more]}, *others],
    }
    outcome = run(order(value, sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state, sequence=sequence).state == "confirmed"


def hits(state: StateDirectory) -> tuple[int, int]:
    """Return the packets and bytes of the rule."""
    seen = DriftMonitor(state, host=HOST, tell=lambda _: None).look()
    live = {family: parse_save(seen.saves[family]) for family in FAMILIES}
    found = rule_hits(seen, live).get("k3f9")
    return (found.packets, found.bytes) if found else (0, 0)


def gets_in(client: Namespace, here: str, source: str) -> bool:
    try:
        connect(client, here, 22, source=source, seconds=5).close()
    except OSError:
        return False
    return True


def test_a_list_allows_its_sources_and_counts_their_connections(
    inside: Namespace, backend: Backend, client: Namespace, state: StateDirectory
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    load(state, 1, LISTED)
    assert hits(state) == (0, 0)
    assert gets_in(client, HERE, LISTED)
    assert not gets_in(client, HERE, OTHER)
    assert not gets_in(client, HERE_6, LISTED_6)
    # The SYN alone: what follows is of an established connection.
    assert hits(state)[0] == 1
    # The next list is another set, and the hits go on.
    load(state, 2, LISTED, OTHER)
    assert hits(state)[0] == 1
    assert gets_in(client, HERE, OTHER)
    assert hits(state)[0] == 2
    # Now the elements have the ids of their rules. Before, only the line had one.
    load(state, 3, LISTED, OTHER, shared=True)
    assert hits(state)[0] == 2
    assert gets_in(client, HERE, LISTED)
    assert hits(state)[0] == 3
    load(state, 4, OTHER, LISTED_6)
    assert not gets_in(client, HERE, LISTED)
    assert gets_in(client, HERE_6, LISTED_6)
