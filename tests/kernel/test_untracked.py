"""Untracked packets with real packets: the host loses the answers that the plan warns about."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.kernel.test_roundtrip import apply, plan
from tests.rig.documents import document
from tests.rig.namespace import Backend, Namespace, join_namespaces, wait_until

pytestmark = pytest.mark.kernel

NOTRACK = "*raw\n-A PREROUTING -p udp --sport 53 -j NOTRACK\n-A OUTPUT -p udp --dport 53 -j NOTRACK\nCOMMIT\n"
SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
while True:
    data, client = server.recvfrom(100)
    server.sendto(data, client)
"""
QUERY = """
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(1)
client.sendto(b"?", ("192.0.2.53", 53))
client.recvfrom(100)
"""


@pytest.fixture
def resolver(namespace: Namespace) -> Iterator[Namespace]:
    with Namespace("resolver") as other:
        join_namespaces(namespace, "ens33", other, "eth0")
        namespace.add_addresses("ens33", "192.0.2.1/24")
        other.add_addresses("eth0", "192.0.2.53/24")
        other.start(sys.executable, "-c", SERVER)
        wait_until("the resolver answers", lambda: answered(namespace))
        yield other


def answered(namespace: Namespace) -> bool:
    """Return True if a query is answered within a second."""
    return namespace.run(sys.executable, "-c", QUERY, check=False).returncode == 0


@pytest.mark.usefixtures("resolver")
@pytest.mark.parametrize("untracked", [False, True])
def test_answers_to_untracked_queries_are_refused(
    namespace: Namespace, backend: Backend, untracked: bool
) -> None:
    if untracked:
        namespace.restore(NOTRACK, backend, 4)
    codes = [each.code for each in plan(namespace, backend, document()).warnings]
    assert ("untracked" in codes) == untracked
    apply(namespace, backend, document(), revision=1)
    if untracked:
        assert not answered(namespace)
    else:
        wait_until("an answer through the rules", lambda: answered(namespace))
