"""Accepts before DOCKER-USER with real packets: exactly what is called a bypass lets a client through."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from dockerfw.chains.bypass import find_bypass
from dockerfw.chains.render import wanted_chains
from dockerfw.iptables.parse import parse_save
from tests.kernel.test_roundtrip import apply
from tests.rig.documents import document
from tests.rig.namespace import Backend, Namespace, join_namespaces, wait_until

pytestmark = pytest.mark.kernel

WANTED = document({"scope": "container", "protocol": "tcp", "ports": ["8080"]})
FILTER = """*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER - [0:0]
:MORE - [0:0]
:DEEP - [0:0]
{lines}
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 -j ACCEPT
-A DOCKER -o docker0 -p tcp -j ACCEPT
COMMIT
"""
NAT = """*nat
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
"""
SERVER = """
import select, socket
servers = [socket.create_server(("", port)) for port in (8000, 8080)]
while True:
    for each in select.select(servers, [], [])[0]:
        each.accept()[0].close()
"""
CLIENT = "import socket, sys\nsocket.create_connection(('172.17.0.2', int(sys.argv[1])), 2)"


@pytest.fixture
def client(namespace: Namespace) -> Iterator[Namespace]:
    with Namespace("client") as outside, Namespace("container") as container:
        join_namespaces(namespace, "ens33", outside, "eth0")
        join_namespaces(namespace, "docker0", container, "eth0")
        for place, name, address in (
            (namespace, "ens33", "192.0.2.1/24"),
            (namespace, "docker0", "172.17.0.1/16"),
            (outside, "eth0", "192.0.2.9/24"),
            (container, "eth0", "172.17.0.2/16"),
        ):
            place.add_addresses(name, address)
        outside.run("ip", "route", "add", "172.17.0.0/16", "via", "192.0.2.1")
        container.run("ip", "route", "add", "default", "via", "172.17.0.1")
        namespace.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        container.start(sys.executable, "-c", SERVER)
        wait_until("the container listens", lambda: connects(outside, 8000))
        yield outside


def connects(client: Namespace, port: int) -> bool:
    return client.run(sys.executable, "-c", CLIENT, str(port), check=False).returncode == 0


@pytest.mark.parametrize(
    ("lines", "bypassed"),
    [
        ((), False),
        (("-A FORWARD -i ens33 -p tcp --dport 7999:8001 -j ACCEPT",), True),
        (("-A FORWARD -p tcp -j MORE", "-A MORE -j DEEP", "-A DEEP -o docker0 -j ACCEPT"), True),
        (("-A FORWARD -p tcp -j MORE", "-A MORE -j DROP", "-A DEEP -o docker0 -j ACCEPT"), False),
        (("-A FORWARD -p tcp --dport 8080 -j ACCEPT",), False),
        (("-A FORWARD -o lxdbr0 -j ACCEPT", "-A FORWARD -i docker0 -j ACCEPT"), False),
    ],
)
def test_a_client_gets_through_exactly_where_a_bypass_is_found(
    namespace: Namespace, backend: Backend, client: Namespace, lines: tuple[str, ...], bypassed: bool
) -> None:
    namespace.restore(NAT + FILTER.format(lines="\n".join(lines)), backend, 4)
    apply(namespace, backend, WANTED, revision=1)
    live = parse_save(namespace.save(backend, 4))
    found = find_bypass(("ens33",), wanted_chains(WANTED, 4, 1), 4, live)
    assert (found is not None) == bypassed
    assert connects(client, 8000) == bypassed
    if lines[-1:] != ("-A DEEP -o docker0 -j ACCEPT",):
        assert connects(client, 8080)
