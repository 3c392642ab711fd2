"""A port published to 127.0.0.1: Docker before 28 forwards packets for it that arrive from the local network.

A neighbour's own kernel sends nothing to 127.0.0.1 by a wire, so the test writes the frame itself.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.reach.exposure import ExposureRow, expose
from dockerfw.reach.offers import find_offers
from dockerfw.simulation.simulate import prepare
from tests.differential.frames import TCP, Wire, ethernet_bytes
from tests.rig.connections import fetch
from tests.rig.lab import CLIENT, EXTERNAL, HOST, Lab
from tests.rig.lab_documents import allow, document

pytestmark = pytest.mark.lab

PORT = 5434
SECONDS = 1.0


@pytest.fixture(scope="module")
def local(lab: Lab) -> Iterator[Lab]:
    """The lab with a container that is published to the host itself."""
    lab.docker.run_web("inner", f"--publish=127.0.0.1:{PORT}:80")
    lab.unload()
    yield lab
    lab.docker.remove(["inner"])


def mac(lab: Lab, where: str) -> str:
    namespace, name = (lab.host, EXTERNAL) if where == "host" else (lab.client, "eth0")
    (link,) = json.loads(namespace.output("ip", "-json", "link", "show", "dev", name))
    return str(link["address"])


def answers(lab: Lab) -> bool:
    """Return True if a neighbour's SYN to 127.0.0.1 is answered."""
    # The host would ask for the client's hardware address as 127.0.0.1, which only an attacker answers.
    lab.host.run("ip", "neigh", "replace", CLIENT, "lladdr", mac(lab, "client"), "dev", EXTERNAL)
    with lab.client.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    with contextlib.closing(wire):
        wire.bind(("eth0", 0x0800))
        source_port = random.randint(20_000, 60_000)
        loopback, client = ip_address("127.0.0.1"), ip_address(CLIENT)
        syn = Wire(client, loopback, TCP, source_port=source_port, destination_port=PORT)
        wire.send(ethernet_bytes(syn, source_mac=mac(lab, "client"), destination_mac=mac(lab, "host")))
        until = time.monotonic() + SECONDS
        while (left := until - time.monotonic()) > 0:
            wire.settimeout(left)
            with contextlib.suppress(TimeoutError):
                ports = PORT.to_bytes(2, "big") + source_port.to_bytes(2, "big")
                if wire.recv(2000)[26:38] == loopback.packed + client.packed + ports:
                    return True
    return False


def row(lab: Lab) -> ExposureRow:
    with lab.host.entered():
        seen = observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    around = surroundings_of(seen)
    prepared = {family: prepare(ruleset, around, family) for family, ruleset in rulesets.items()}
    offers = find_offers(listening_of(seen, rulesets))
    rows = expose(offers, prepared, outside_interfaces(Settings(external_interfaces=(EXTERNAL,)), around))
    return next(each for each in rows if each.offer.port == PORT)


def test_a_rule_for_the_port_opens_it_to_no_neighbour(local: Lab) -> None:
    # Docker 28 and later drop such packets in the table raw, before anybody else is asked.
    assert answers(local) == (row(local).level == "anywhere")
    for rule in (allow("container", PORT), allow("both"), allow("container", 80, port_kind="container")):
        local.load(document(rule))
        assert (answers(local), row(local).level) == (False, "nobody"), rule
    assert fetch(local.host, "127.0.0.1", PORT) == "inner"
    local.load(document(allow("container", 8080)))
    assert fetch(local.client, HOST, 8080) == "web"


def test_without_the_line_a_neighbour_is_answered(local: Lab) -> None:
    local.load(document(allow("container", PORT)))
    was_open = row(local).level == "nobody"
    local.host.iptables("-D", "FILTERS-CONTAINERS", "2", backend=local.docker.backend, family=4)
    assert was_open
    assert answers(local) == (row(local).level == "anywhere")
