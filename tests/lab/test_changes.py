"""The effect on outside access, compared with real packets before and after a load."""

from __future__ import annotations

import pytest

from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import parse_document
from dockerfw.host.observation import observe
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.reach.changes import exposure_changes
from dockerfw.reach.offers import find_offers
from dockerfw.simulation.simulate import prepare
from tests.rig.connections import listening, ping, try_port
from tests.rig.lab import HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES

pytestmark = pytest.mark.lab


def effect(lab: Lab, old: dict[str, object], new: dict[str, object]) -> list[str]:
    """Load one document and then another; return what changed outside."""
    rules = []
    for number, value in enumerate((old, new), start=1):
        lab.load(value, revision=number)
        with lab.host.entered():
            seen = observe("lab")
        live, around = lab.live(), surroundings_of(seen)
        rules.append({family: prepare(live[family], around, family) for family in FAMILIES})
    documents = (parse_document(old), parse_document(new))
    outside = outside_interfaces(documents[1].settings, around)
    offers = find_offers(listening_of(seen, live))
    found = exposure_changes(offers, documents, rules[0], rules[1], outside, sockets_known=True)
    return [str(each) for each in found]


def test_ping(lab: Lab) -> None:
    lab.load(document())
    assert ping(lab.client, HOST)
    assert ping(lab.client, HOST_6)
    assert effect(lab, document(), document(icmp="refuse")) == ["Ping to the host stops working"]
    assert not ping(lab.client, HOST)
    assert not ping(lab.client, HOST_6)


def test_every_tcp_port(lab: Lab) -> None:
    narrow, wide = document(allow("container", 8080)), document({"scope": "both", "protocol": "tcp"})
    found = effect(lab, narrow, wide)
    assert found[0] == "Every TCP port of the host and of all containers becomes reachable from anywhere"
    assert any(each.startswith("8081/tcp of a container") or "8081/tcp of" in each for each in found[1:])
    lab.docker.run_web("later", "--publish=40001:80")
    try:
        for address in (HOST, HOST_6):
            with listening(lab.host, address, 40000):
                assert try_port(lab.client, address, 40000) == "connected"
            assert try_port(lab.client, address, 40001) == "connected"
    finally:
        lab.docker.remove(["later"])
