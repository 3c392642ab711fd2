"""Expectations about a real engine's containers, checked after each load and compared with real packets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig.connections import fetch, try_port
from tests.rig.lab import CLIENT, HOST, STRANGER, Lab
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
