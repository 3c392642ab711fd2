"""How often the kernel's rules are parsed, on the real kernel: once for each family at each look."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from redis import Redis

from dockerfw.agent.jobs import RootJobs
from dockerfw.iptables import parse
from dockerfw.iptables.model import Ruleset
from dockerfw.messages.orders import Answer
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST, document, order, stop_watchdogs
from tests.rig.namespace import FAMILIES, Namespace
from tests.rig.signing import signed, write_signer

pytestmark = [pytest.mark.kernel, pytest.mark.redis]

PUBLISHED = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {inside}:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
COMMIT
"""


class Spy:
    """Counts the calls of the real parser, wherever it was imported."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self._real = parse.parse_save
        for module in list(sys.modules.values()):
            if module is not None and vars(module).get("parse_save") is self._real:
                monkeypatch.setattr(module, "parse_save", self)

    def __call__(self, text: bytes | str) -> Ruleset:
        self.calls += 1
        return self._real(text)

    def since(self) -> int:
        """Return the number of calls since the last time."""
        calls, self.calls = self.calls, 0
        return calls


def test_each_look_parses_each_family_once(
    inside: Namespace, state: StateDirectory, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for family, address in zip(FAMILIES, ("172.17.0.2", "[2001:db8::2]"), strict=True):
        inside.restore(PUBLISHED.format(inside=address), "nft", family)
    jobs = RootJobs(
        host=HOST,
        state=state,
        connection=redis_client,
        telling=redis_client,
        signer=write_signer(state.path),
    )
    expectation = {"port": 3306, "passes": False}
    one = order({**document("22"), "expectations": [expectation]}, end_sessions=False)
    spy = Spy(monkeypatch)
    jobs.apply(signed(one))
    assert state.read_window() is not None
    counts: dict[str, Any] = {"apply": spy.since()}
    jobs.answer(signed(Answer(one.apply, 2, HOST, "keep", None, one.issued_at)))
    stop_watchdogs(state)
    counts["keep"] = spy.since()
    jobs.watch()
    counts["watch"] = spy.since()
    # An apply looks before the load and after it, and watching looks once. An answer waits for no look.
    assert counts == {"apply": 4, "keep": 0, "watch": 2}
