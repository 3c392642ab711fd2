"""The last hit of a rule with real packets: it moves with a packet alone, and never back."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.host.clock import utc_now
from dockerfw.messages.snapshot_values import last_uses_of
from dockerfw.store.bootfiles import SCRIPT
from dockerfw.store.state import StateDirectory
from tests.agent.test_new_connections import FIRST, HOST, SSH, WEB, joined
from tests.rig.connections import listening, try_port
from tests.rig.host_states import HOST as NAME
from tests.rig.host_states import answer, order, run
from tests.rig.namespace import FAMILIES, Backend, Namespace, wait_until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can join two namespaces"),
]

FEW = [f"198.51.100.{last}" for last in range(4)]


def document(*more: str) -> dict[str, object]:
    """Return a document with a rule of one line for ssh, and one of a set for a web server."""
    web = [*FEW, FIRST, *more]
    rules = [
        {"id": "ssh1", "scope": "host", "protocol": "tcp", "ports": [str(SSH)]},
        {"id": "web1", "scope": "host", "sources": web, "protocol": "tcp", "ports": [str(WEB)]},
    ]
    return {"format": "dockerfw/2", "settings": {"external_interfaces": ["ens33"]}, "rules": rules}


class Looks:
    """Looks of root workers that have just started, and what the last one said."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self.last: dict[str, object] = {}
        self.look()

    def look(self) -> dict[str, object]:
        """Look, and return when each rule was hit last. That never goes back."""
        found = last_uses_of(DriftMonitor(self._state, host=NAME, tell=lambda event: None).look())
        now: dict[str, object] = {name: use.last for name, use in found.items()}
        for name, before in self.last.items():
            assert before is None or now[name] == before or str(now[name]) > str(before), name
        self.last = now
        return now

    def moves(self) -> set[str]:
        """Look after a second at least, and return the rules whose last hit has moved."""
        begin = utc_now(ahead=1.0)
        wait_until("the next second", lambda: utc_now() > begin)
        before = self.last
        now = self.look()
        return {name for name in now if now[name] != before.get(name)}


def keep(state: StateDirectory, sequence: int, *more: str) -> None:
    outcome = run(order(document(*more), sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state, sequence=sequence).state == "confirmed"


def hit(client: Namespace, *ports: int) -> None:
    assert [try_port(client, HOST, port, source=FIRST) for port in ports] == ["connected"] * len(ports)


def test_the_last_hit_moves_with_a_packet_alone_and_never_back(
    inside: Namespace,
    backend: Backend,
    state: StateDirectory,
    make_namespace: Callable[..., Namespace],
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    client = joined(inside, make_namespace("client"))
    keep(state, 1)
    with listening(inside, HOST, SSH), listening(inside, HOST, WEB):
        looks = Looks(state)
        assert looks.last == {"ssh1": None, "web1": None}
        hit(client, SSH, WEB)
        assert looks.moves() == {"ssh1", "web1"}
        assert looks.moves() == set()
        # An apply carries the counters of a line and of a set with other sources over.
        keep(state, 2, "198.51.100.77")
        assert looks.moves() == set()
        hit(client, WEB)
        assert looks.moves() == {"web1"}
        # A window that is rolled back.
        assert run(order(document("198.51.100.78"), sequence=3), state).state == "awaiting"
        assert looks.moves() == set()
        assert answer("rollback", state, sequence=3).state == "rolled_back"
        assert looks.moves() == set()
        # Another program sets all counters back.
        for family in FAMILIES:
            inside.iptables("-Z", backend=backend, family=family)
        assert looks.moves() == set()
        hit(client, SSH)
        assert looks.moves() == {"ssh1"}
        for family in FAMILIES:
            inside.iptables("-Z", backend=backend, family=family)
        assert looks.moves() == set()
    # A boot, with the files of the last apply that was kept.
    booted = make_namespace("booted")
    again = joined(booted, make_namespace("client-2"))
    done = booted.run("sh", "-s", stdin=(state.boot / SCRIPT).read_text(), check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    with booted.entered(), listening(booted, HOST, SSH), listening(booted, HOST, WEB):
        assert looks.moves() == set()
        hit(again, SSH, WEB)
        assert looks.moves() == {"ssh1", "web1"}
        assert looks.moves() == set()
