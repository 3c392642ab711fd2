"""SCTP published by a container that a rule names, with real packets.

This kernel has no SCTP sockets, and so no engine can publish a port of SCTP here: what an engine lists and
writes is played. The first packets of associations are sent and received raw, and netfilter tracks and
translates them all the same.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from dockerfw.chains.container_sets import container_definitions
from dockerfw.document.document import parse_document
from dockerfw.store.state import StateDirectory
from tests.differential.frames import SCTP, Wire, ip_bytes
from tests.rig.bound_sets import add_bridge, members_in
from tests.rig.host_states import answer, order, run
from tests.rig.lab_documents import by_name, document
from tests.rig.listed_containers import ListedContainers, listed
from tests.rig.namespace import Namespace, join_namespaces

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can join namespaces"),
]

HOST, CLIENT = "192.0.2.1", "192.0.2.2"
# What each publishes: pairs of a port of the host and one inside.
PORTS = {"signal": ((9899, 9900), (9897, 9900)), "rival": ((9898, 9900),)}
ADDRESSES = {"signal": "172.17.0.2", "rival": "172.17.0.3"}
ENGINE = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
{dnat}COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -p sctp -j ACCEPT
COMMIT
"""


class Played:
    """The host, a client, and its containers as namespaces."""

    def __init__(self, host: Namespace, make: Callable[..., Namespace]) -> None:
        self.client = make("client")
        join_namespaces(host, "ens33", self.client, "eth0")
        host.add_addresses("ens33", f"{HOST}/24")
        self.client.add_addresses("eth0", f"{CLIENT}/24")
        add_bridge(host)
        self.containers = {name: make(name) for name in PORTS}
        for name, inside in self.containers.items():
            join_namespaces(host, f"veth-{name}", inside, "eth0")
            host.run("ip", "link", "set", f"veth-{name}", "master", "docker0")
            inside.add_addresses("eth0", f"{ADDRESSES[name]}/16")
            inside.run("ip", "route", "add", "default", "via", "172.17.0.1")
        host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        dnat = "".join(
            f"-A DOCKER ! -i docker0 -p sctp -m sctp --dport {port} -j DNAT --to-destination"
            f" {ADDRESSES[name]}:{inner}\n"
            for name, pairs in PORTS.items()
            for port, inner in pairs
        )
        host.restore(ENGINE.format(dnat=dnat))

    def arrives(self, container: str, port: int) -> bool:
        """Return True if the first packet of an association with a port of the host gets to a container."""
        nonce, source = secrets.token_bytes(4), 1024 + secrets.randbelow(60_000)
        wire = Wire(ip_address(CLIENT), ip_address(HOST), SCTP, source, port, nonce=nonce)
        with self.containers[container].entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_RAW, SCTP)
        with self.client.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with receiver, sender:
            receiver.settimeout(1.5)
            sender.sendto(ip_bytes(wire), (HOST, 0))
            try:
                while nonce not in receiver.recv(2048):
                    pass
            except TimeoutError:
                return False
        return True


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Path]:
    """The socket of an engine that lists the two containers."""
    containers = []
    for name, pairs in PORTS.items():
        found = listed(name, ADDRESSES[name], *pairs)
        containers.append({**found, "Ports": [{**port, "Type": "sctp"} for port in found["Ports"]]})
    path = tmp_path / "docker.sock"
    server = ListedContainers(path, *containers)
    yield path
    server.close()


def test_a_rule_by_name_opens_its_ports_of_sctp_and_no_others(
    inside: Namespace, make_namespace: Callable[..., Namespace], state: StateDirectory, docker: Path
) -> None:
    played = Played(inside, make_namespace)
    sequence = 0

    def keep(*rules: dict[str, object]) -> None:
        nonlocal sequence
        sequence += 1
        outcome = run(order(document(*rules), sequence=sequence), state, docker_socket=docker)
        assert outcome.state == "awaiting", outcome.error
        assert answer("keep", state, sequence=sequence).state == "confirmed"

    assert played.arrives("signal", 9899)
    assert played.arrives("rival", 9898)
    named = by_name("signal", 9899, protocol="sctp")
    keep(named)
    (name,) = (each for each in container_definitions(parse_document(document(named))) if each[8] == "4")
    assert members_in(inside, name) == ("172.17.0.2,sctp:9900",)
    rules = inside.output("iptables", "-S", "FILTERS-CONTAINERS").splitlines()
    lines = [line for line in rules if name in line]
    assert len(lines) == 1
    assert " -p sctp " in lines[0]
    assert " --ctorigdstport 9899 " in lines[0]
    assert played.arrives("signal", 9899)
    # The same port inside: published once more, and by another container.
    assert not played.arrives("signal", 9897)
    assert not played.arrives("rival", 9898)
    # A rule for TCP opens none of SCTP, and a range every published one in it.
    keep(by_name("signal", 9899))
    assert not played.arrives("signal", 9899)
    keep(by_name("signal", "9000-9999", protocol="sctp"))
    assert played.arrives("signal", 9899)
    assert played.arrives("signal", 9897)
    assert not played.arrives("rival", 9898)
    keep()
    assert not played.arrives("signal", 9899)
