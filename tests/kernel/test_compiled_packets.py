"""Real connections through compiled rules: sets, dispatch chains, blocks and limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dockerfw.chains.render import render, write_restore
from dockerfw.chains.set_texts import render_sets
from dockerfw.document.values import Document
from dockerfw.iptables.parse import parse_save
from tests.rig.compiled_documents import document, rule
from tests.rig.connections import Verdict, try_port
from tests.rig.namespace import Backend, Namespace, join_namespaces

pytestmark = pytest.mark.kernel

HOST = "192.0.2.1"
CLIENT, OFFICE, BAD, NEIGHBOUR, FIFTH = (f"192.0.2.{last}" for last in range(2, 7))


@pytest.fixture
def client(namespace: Namespace, make_namespace: Callable[..., Namespace]) -> Namespace:
    """Return a client of the host `namespace` that has several addresses."""
    other = make_namespace("client")
    join_namespaces(namespace, "eth0", other, "eth0")
    namespace.add_addresses("eth0", f"{HOST}/24")
    other.add_addresses("eth0", *(f"{address}/24" for address in (CLIENT, OFFICE, BAD, NEIGHBOUR, FIFTH)))
    return other


def load(namespace: Namespace, backend: Backend, wanted: Document, *, most: int = 65536) -> None:
    """Load a document whose limits remember `most` sources."""
    rendering = render(wanted, 4)
    namespace.run("ipset", "-exist", "restore", stdin=render_sets(rendering))
    text = write_restore(rendering, 4, live=parse_save(namespace.save(backend)))
    # The kernel makes the most sources at least the size of its table.
    limit = f"--hashlimit-htable-size {most} --hashlimit-htable-max {most}"
    namespace.restore(text.replace("--hashlimit-htable-max 65536", limit), backend)


def test_sources_and_ports_of_a_dispatched_document(
    namespace: Namespace, client: Namespace, backend: Backend
) -> None:
    rules = [
        rule(f"p{at:04}", "host", [f"{OFFICE}/32"], protocol="tcp", ports=str(at)) for at in range(600, 900)
    ]
    many = (f"{OFFICE}/32", f"{BAD}/32", "10.0.0.0/8", "172.16.0.0/12", "198.51.100.0/24")
    rules += [
        rule("sets", "both", many, protocol="tcp", ports="5000-5999"),
        rule("once", "both", [f"{NEIGHBOUR}/32"], protocol="tcp", ports="5500"),
        rule("stop", "both", [f"{BAD}/32"], protocol="tcp", ports=("700", "5600"), action="block"),
    ]
    rules += [
        rule(f"b{at:04}", "both", [f"{OFFICE}/32"], protocol="tcp", ports=str(at)) for at in range(900, 930)
    ]
    load(namespace, backend, document(rules))

    def dial(source: str, port: int) -> Verdict:
        # Without a listener an allowed connection is closed at once.
        return try_port(client, HOST, port, source=source, seconds=0.3)

    assert [dial(OFFICE, port) for port in (600, 777, 899, 929, 5000, 5999)] == ["closed"] * 6
    assert [dial(OFFICE, port) for port in (599, 930, 4999, 6000)] == ["prohibited"] * 4
    assert [dial(CLIENT, port) for port in (600, 777, 929, 5500)] == ["prohibited"] * 4
    assert [dial(NEIGHBOUR, port) for port in (5500, 5501, 700)] == ["closed", "prohibited", "prohibited"]
    assert [dial(BAD, port) for port in (5599, 5600, 700, 701)] == [
        "closed",
        "silent",
        "silent",
        "prohibited",
    ]
    # The next revision has none of these chains.
    load(namespace, backend, document([rule("ping", "host", protocol="tcp", ports="600")]))
    assert [dial(CLIENT, port) for port in (600, 601)] == ["closed", "prohibited"]
    assert b"FILTERS-D" not in namespace.save(backend)


def test_a_full_limit_refuses_no_plain_allowance(
    namespace: Namespace, client: Namespace, backend: Backend
) -> None:
    rules = [
        rule("slow", "host", protocol="tcp", ports="22", limit="2/hour"),
        rule("both", "both", [f"{OFFICE}/32"], protocol="tcp", ports=("22", "80")),
    ]
    load(namespace, backend, document(rules), most=2)

    def dial(source: str) -> Verdict:
        return try_port(client, HOST, 22, source=source, seconds=0.3)

    assert [dial(CLIENT) for _ in range(3)] == ["closed", "closed", "prohibited"]
    assert dial(NEIGHBOUR) == "closed"
    # The kernel drops what a full table cannot remember.
    assert dial(FIFTH) == "silent"
    assert [dial(OFFICE) for _ in range(4)] == ["closed"] * 4
