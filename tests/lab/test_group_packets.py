"""Broadcast packets to a published UDP port, as DHCP clients send them: docker-proxy takes them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import parse_document
from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.reach.exposure import ExposureRow, expose
from dockerfw.reach.listening import Listening
from dockerfw.reach.offers import find_offers
from dockerfw.reach.sentences import BY_GROUP_PACKETS, describe_access
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import HostInterface
from tests.rig.lab import EXTERNAL, HOST, Lab
from tests.rig.lab_documents import document
from tests.rig.namespace import Family, entering

pytestmark = pytest.mark.lab

PORT = 67
REFUSED = {"source": "any", "protocol": "udp", "port": PORT, "to": "container", "passes": False}


@pytest.fixture(scope="module")
def dhcp(lab: Lab) -> Iterator[socket.socket]:
    """Return a socket in a container that publishes the port of DHCP servers."""
    lab.docker.run_web("dhcp", f"--publish={PORT}:{PORT}/udp")
    with entering(lab.docker.container_namespace("dhcp")):
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with found:
        found.bind(("", PORT))
        found.settimeout(0.6)
        yield found
    lab.docker.remove(["dhcp"])


def arrives(dhcp: socket.socket, lab: Lab, address: str) -> bool:
    """Send a packet from the client and return True if it reaches the container."""
    with lab.client.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(address.encode(), (address, PORT))
        with contextlib.suppress(TimeoutError):
            while dhcp.recvfrom(100)[0] != address.encode():
                pass
            return True
    return False


def look(lab: Lab) -> tuple[Listening, dict[Family, Prepared], tuple[HostInterface, ...]]:
    with lab.host.entered():
        seen = observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    around = surroundings_of(seen)
    prepared = {family: prepare(ruleset, around, family) for family, ruleset in rulesets.items()}
    outside = outside_interfaces(Settings(external_interfaces=(EXTERNAL,)), around)
    return listening_of(seen, rulesets), prepared, outside


def row(rows: Iterable[ExposureRow]) -> ExposureRow:
    (found,) = (each for each in rows if (each.offer.port, each.offer.protocol) == (PORT, "udp"))
    return found


@pytest.mark.parametrize(
    ("scope", "direct", "broadcast", "words"),
    [
        # A rule for containers also holds where docker-proxy takes the packets.
        ("container", True, True, ["anywhere"]),
        ("both", True, True, ["anywhere"]),
        ("host", False, True, ["nowhere", "192.0.2.0/24, 198.51.100.0/24"]),
    ],
)
def test_a_dhcp_server_in_a_container(
    lab: Lab, dhcp: socket.socket, scope: str, direct: bool, broadcast: bool, words: list[str]
) -> None:
    rule: dict[str, object] = {"scope": scope, "protocol": "udp", "ports": [str(PORT)]}
    lab.load(document(rule))
    real = {address: arrives(dhcp, lab, address) for address in (HOST, "192.0.2.255", "255.255.255.255")}
    assert real == {HOST: direct, "192.0.2.255": broadcast, "255.255.255.255": broadcast}
    listening, prepared, outside = look(lab)
    found = row(expose(find_offers(listening), prepared, outside))
    expected = {**document(rule), "expectations": [REFUSED]}
    context = ExpectationContext(prepared, outside, listening)
    (result,) = check_expectations(parse_document(expected).expectations, context)
    # Some clients reach the container in each case.
    assert result.state == "fails"
    said = {describe_access(each): each for each in found.access if each.family == 4}
    assert sorted(said) == sorted(words)
    assert [each.reason for name, each in said.items() if "/24" in name] == [BY_GROUP_PACKETS] * (
        len(words) - 1
    )
