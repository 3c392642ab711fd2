"""Expectations right after a load on the real kernel: a broken one rolls back, unless overridden."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from dockerfw.agent import expected as expected_module
from dockerfw.host import docker as docker_module
from dockerfw.messages.outcomes import Outcome, Step
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import PLAIN_INPUT, add_foreign, document, held, order, run
from tests.rig.namespace import Backend, Namespace

pytestmark = pytest.mark.kernel


@pytest.fixture
def outside(inside: Namespace, backend: Backend) -> Namespace:
    """The namespace with other rules and an external interface ens33."""
    inside.run("ip", "link", "add", "ens33", "type", "veth", "peer", "name", "away0")
    inside.run("ip", "address", "add", "192.0.2.1/24", "dev", "ens33")
    inside.run("ip", "link", "set", "ens33", "up")
    add_foreign(inside, backend, PLAIN_INPUT)
    return inside


def expecting(*expectations: dict[str, Any]) -> dict[str, Any]:
    """Return a document that opens 8080 and expects this."""
    return {**document("8080"), "expectations": list(expectations)}


def step(outcome: Outcome) -> Step:
    return next(each for each in outcome.steps if each.name == "expectations")


OPEN = {"port": 8080, "source": "203.0.113.0/24", "passes": True}
CLOSED = {"port": 3306, "passes": False}
BROKEN = {"port": 443, "source": "203.0.113.0/24", "passes": True}


def test_expectations_that_hold_are_counted(
    outside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    named = {"port": 5432, "to": "container", "container": "db", "passes": False}
    outcome = run(order(expecting(OPEN, CLOSED, named)), state)
    assert (outcome.state, outcome.error) == ("awaiting", None)
    assert step(outcome).detail == (
        "2 of 3 hold. 5432/tcp of container db from anywhere is refused: cannot tell, Docker is not"
        " asked on this host, so the container db is unknown"
    )


def test_a_broken_expectation_rolls_back(outside: Namespace, backend: Backend, state: StateDirectory) -> None:
    before = held(outside, backend)
    outcome = run(order(expecting(OPEN, BROKEN)), state)
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.step == "expectations"
    assert outcome.error.summary == (
        "1 expectation not met. 443/tcp of the host from 203.0.113.0/24 passes: fails, from 203.0.113.0/24 it"
        " is refused by rule 3 of filter FILTERS. The previous rules are restored."
    )
    assert held(outside, backend) == before
    assert (state.read_window(), state.read_undo()) == (None, None)


def test_an_overridden_expectation_is_reported_and_the_rules_stay(
    outside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    outcome = run(order(expecting(OPEN, BROKEN), override=True), state)
    assert (outcome.state, outcome.error) == ("awaiting", None)
    assert step(outcome).detail.startswith("1 of 2 hold. overridden: 443/tcp of the host from 203.0.113.0/24")


def test_a_rule_of_another_program_can_break_an_expectation(
    outside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    outside.iptables("-P", "INPUT", "DROP", backend=backend)
    before = held(outside, backend)
    outcome = run(order(expecting(OPEN)), state)
    assert outcome.error is not None
    assert "from 203.0.113.0/24 it is refused by the policy of filter INPUT" in outcome.error.summary
    assert held(outside, backend) == before


def test_too_many_rules_are_reported_and_do_not_fail_the_apply(
    outside: Namespace, backend: Backend, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected_module, "MOST_LINES", 1)
    outcome = run(order(expecting(OPEN, BROKEN)), state)
    assert (outcome.state, outcome.error) == ("awaiting", None)
    assert step(outcome).detail.startswith("2 expectations not checked: other programs have ")
    assert step(outcome).detail.endswith(" rules, and at most 1 are checked")


def test_a_hanging_docker_leaves_only_expectations_on_containers_unknown(
    outside: Namespace,
    backend: Backend,
    state: StateDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docker_module, "SECONDS", 0.3)
    path = tmp_path / "docker.sock"
    named = {"port": 5432, "to": "container", "container": "db", "passes": False}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        # Nothing ever accepts a connection.
        listener.listen()
        outcome = run(order(expecting(OPEN, named)), state, docker_socket=path)
        assert (outcome.state, outcome.error) == ("awaiting", None)
        assert step(outcome).detail.startswith("1 of 2 hold. 5432/tcp of container db from anywhere")
        state.close_window()
        before = held(outside, backend)
        outcome = run(order(expecting(BROKEN), sequence=2), state, docker_socket=path)
    assert outcome.error is not None
    assert outcome.error.step == "expectations"
    assert held(outside, backend) == before


def test_no_check_without_expectations(outside: Namespace, backend: Backend, state: StateDirectory) -> None:
    assert step(run(order(document("22")), state)).detail == "there are none"
