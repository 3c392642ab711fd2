"""A port of the host that another rule redirects, with real packets: what a warning says is what happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.kernel.test_roundtrip import apply, plan
from tests.rig.documents import document
from tests.rig.namespace import Backend, Namespace, join_namespaces, wait_until

pytestmark = pytest.mark.kernel

REDIRECT = "*nat\n-A PREROUTING -i ens33 -p tcp --dport 443 -j REDIRECT --to-ports 5000\nCOMMIT\n"
SERVER = "import socket\ns = socket.create_server(('', 5000))\nwhile True: s.accept()[0].close()"
CLIENT = "import socket, sys\nsocket.create_connection(('192.0.2.1', int(sys.argv[1])), 3)"


@pytest.fixture
def client(namespace: Namespace) -> Iterator[Namespace]:
    with Namespace("client") as other:
        join_namespaces(namespace, "ens33", other, "eth0")
        for place, name, address in ((namespace, "ens33", "192.0.2.1/24"), (other, "eth0", "192.0.2.9/24")):
            place.add_addresses(name, address)
        namespace.start(sys.executable, "-c", SERVER)
        yield other


def connects(client: Namespace, port: int) -> bool:
    return client.run(sys.executable, "-c", CLIENT, str(port), check=False).returncode == 0


@pytest.mark.parametrize(
    ("scope", "port", "warned", "reached"),
    [
        ("host", "443", ["port-redirected"], {443: False, 5000: False}),
        ("host", "5000", ["port-opens-another"], {443: True, 5000: True}),
        ("both", "443", [], {443: True, 5000: False}),
    ],
)
def test_a_redirected_port(
    namespace: Namespace,
    backend: Backend,
    client: Namespace,
    scope: str,
    port: str,
    warned: list[str],
    reached: dict[int, bool],
) -> None:
    wait_until("the server listens", lambda: connects(client, 5000))
    namespace.restore(REDIRECT, backend, 4)
    assert connects(client, 443)
    wanted = document({"scope": scope, "protocol": "tcp", "ports": [port]})
    codes = [each.code for each in plan(namespace, backend, wanted).warnings]
    assert [code for code in codes if code.startswith("port-")] == warned
    apply(namespace, backend, wanted, revision=1)
    assert {port: connects(client, port) for port in reached} == reached
