"""Expectations about a real engine's containers, checked after each load and compared with real packets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.values import Expectation
from dockerfw.host.observation import observe
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.simulation.simulate import prepare
from tests.rig.connections import fetch, try_port
from tests.rig.lab import CLIENT, HOST, HOST_6, STRANGER, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, CommandError

pytestmark = pytest.mark.lab


def expect(container: str, port: int, *, passes: bool, source: str = "any") -> dict[str, Any]:
    """Return an expectation of a container."""
    return {"to": "container", "container": container, "port": port, "passes": passes, "source": source}


def wanted(*expectations: dict[str, Any]) -> dict[str, Any]:
    """Return a document that allows the client to `web` and has this expectation."""
    return {**document(allow("container", 8080, source=f"{CLIENT}/32")), "expectations": list(expectations)}


def test_expectations_agree_with_real_packets(lab: Lab) -> None:
    lab.load(
        wanted(
            expect("web", 8080, passes=True, source=CLIENT),
            expect("web", 80, passes=True, source=CLIENT),
            expect("web", 8080, passes=False, source=STRANGER),
            expect("other", 80, passes=False),
            expect("plain", 81, passes=False),
        )
    )
    assert fetch(lab.client, HOST, 8080, source=CLIENT) == "web"
    assert try_port(lab.client, HOST, 8080, source=STRANGER) == "prohibited"
    assert try_port(lab.client, HOST, 8081) == "prohibited"
    address = lab.docker.container_address("plain")
    assert try_port(lab.client, address, 81) == lab.direct_refusal(address)


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        (expect("other", 8081, passes=True), "it is refused by rule"),
        (expect("web", 8080, passes=True, source="192.0.2.0/24"), "it is refused by rule"),
        (expect("web", 8080, passes=False), "it is allowed by"),
        (expect("plain", 81, passes=True), "plain does not publish port 81"),
    ],
    ids=["not allowed", "not all", "allowed", "not published"],
)
def test_a_failed_expectation_restores_the_previous_rules(
    lab: Lab, expectation: dict[str, Any], reason: str
) -> None:
    lab.load(wanted(expect("web", 8080, passes=True, source=CLIENT)))
    before = {family: lab.host.save(lab.docker.backend, family) for family in FAMILIES}
    with pytest.raises(CommandError, match=reason):
        lab.load_unseen(wanted(expectation), revision=2)
    after = {family: lab.host.save(lab.docker.backend, family) for family in FAMILIES}
    for family in FAMILIES:
        assert lines(after[family]) == lines(before[family])
    assert fetch(lab.client, HOST, 8080, source=CLIENT) == "web"


def lines(save: bytes) -> list[str]:
    """Return the rules of a save without the dated comments and the counters of chains."""
    return [line for line in save.decode().splitlines() if line.startswith("-A")]


def judge(lab: Lab, **values: Any) -> str:
    """Return the state of an expectation about containers under the rules that the kernel holds."""
    with lab.host.entered():
        seen = observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))
    live, around = lab.live(), surroundings_of(seen)
    prepared = {family: prepare(live[family], around, family) for family in FAMILIES}
    outside = outside_interfaces(lab.document.settings, around)
    context = ExpectationContext(prepared, outside, listening_of(seen, live), lab.document.rules)
    wanted = Expectation("any", "tcp", 5432, "container", passes=False)
    (found,) = check_expectations((wanted,), context)
    assert ("nothing" in found.reason or "no container publishes" in found.reason) == values["idle"], found
    return found.state


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ({"scope": "both", "protocol": "tcp"}, "fails"),
        # docker-proxy accepts IPv6 on the host.
        ({"scope": "host", "protocol": "tcp"}, "fails"),
        (allow("container", 8080), "holds"),
    ],
    ids=["all of tcp", "all of tcp to the host", "another port"],
)
def test_a_port_that_no_container_publishes_is_judged_before_one_does(
    lab: Lab, rule: dict[str, Any], state: str
) -> None:
    lab.load(document(rule))
    before = judge(lab, idle=True)
    lab.docker.run_web("database", "--publish=5432:80")
    try:
        met = {try_port(lab.client, address, 5432) for address in (HOST, HOST_6)}
        assert ("connected" in met) == (before == "fails")
        assert judge(lab, idle=False) == before == state
    finally:
        lab.docker.remove(["database"])
