"""The engine after an apply: containers start, stop and restart, and the rules stay active."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.connections import fetch, listening, try_port
from tests.rig.lab import CLIENT, HOST, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.lab


@pytest.fixture
def guarded(lab: Lab) -> Iterator[Lab]:
    """The lab with port 8080 allowed, and without the containers and networks that the test adds."""
    lab.load(document(allow("container", 8080)), revision=7)
    yield lab
    lab.docker.remove(lab.docker.docker("ps", "--all", "--quiet", "--filter=label=added").split())
    for network in lab.docker.docker("network", "ls", "--quiet", "--filter=label=added").split():
        lab.docker.docker("network", "rm", network)


def _assert_all_as_before(lab: Lab) -> None:
    lab.assert_in_force()
    wait_until("web answers", lambda: fetch(lab.client, HOST, 8080) == "web")
    assert try_port(lab.client, HOST, 8081) == "prohibited"
    with listening(lab.client, CLIENT, 9000, "outside"):
        assert lab.reach_out("web") == f"outside {HOST}"


def test_a_new_container_is_closed_until_it_is_allowed(guarded: Lab) -> None:
    guarded.docker.run_web("new", "--label=added", "--publish=8082:80")
    assert try_port(guarded.client, HOST, 8082) == "prohibited"
    _assert_all_as_before(guarded)
    guarded.load(document(allow("container", 8080), allow("container", 8082)), revision=8)
    assert fetch(guarded.client, HOST, 8082) == "new"
    _assert_all_as_before(guarded)


def test_a_restarted_container_stays_reachable(guarded: Lab) -> None:
    guarded.docker.docker("restart", "--time=0", "web", "other")
    _assert_all_as_before(guarded)


def test_a_removed_container_leaves_the_rules_alone(guarded: Lab) -> None:
    guarded.docker.run_web("short", "--label=added", "--publish=8083:80")
    guarded.docker.remove(["short"])
    _assert_all_as_before(guarded)


def test_a_new_network_is_protected_too(guarded: Lab) -> None:
    guarded.docker.docker("network", "create", "--label=added", "blue")
    _assert_all_as_before(guarded)
    guarded.docker.run_web("inblue", "--label=added", "--publish=8084:80", network="blue")
    assert try_port(guarded.client, HOST, 8084) == "prohibited"
    address = guarded.docker.container_address("inblue", "blue")
    assert try_port(guarded.client, address, 80) == guarded.direct_refusal(address)
    guarded.load(document(allow("container", 8080, 8084)), revision=8)
    assert fetch(guarded.client, HOST, 8084) == "inblue"
    with listening(guarded.client, CLIENT, 9000, "outside"):
        assert guarded.reach_out("inblue") == f"outside {HOST}"


def test_the_rules_are_active_after_a_restart_of_the_engine(guarded: Lab) -> None:
    guarded.docker.restart_daemon()
    _assert_all_as_before(guarded)
    guarded.load(document(allow("container", 8081)), revision=8)
    assert fetch(guarded.client, HOST, 8081) == "other"
    assert try_port(guarded.client, HOST, 8080) == "prohibited"


def test_rules_loaded_while_the_engine_is_down_are_active_when_it_starts(guarded: Lab) -> None:
    guarded.docker.stop_daemon()
    try:
        guarded.load(document(allow("container", 8081)), revision=8)
    finally:
        guarded.docker.start_daemon()
    guarded.assert_in_force()
    wait_until("other answers", lambda: fetch(guarded.client, HOST, 8081) == "other")
    assert try_port(guarded.client, HOST, 8080) == "prohibited"
