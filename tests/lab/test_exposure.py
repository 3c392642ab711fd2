"""The exposure of a real engine's host, compared with real connections over IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from dockerfw.chains.plan import plan_changes
from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.iptables.model import Family
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.reach.exposure import ExposureRow, expose
from dockerfw.reach.offers import find_offers
from dockerfw.reach.question import Question, read_question
from dockerfw.simulation.simulate import Prepared, prepare, simulate
from tests.rig.connections import try_port
from tests.rig.lab import CLIENT, CLIENT_6, EXTERNAL, HOST, HOST_6, NEIGHBOUR, NEIGHBOUR_6, STRANGER, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, wait_until

pytestmark = pytest.mark.lab

DIALLED: dict[Family, str] = {4: HOST, 6: HOST_6}
SOURCES: dict[Family, tuple[str, ...]] = {4: (CLIENT, NEIGHBOUR, STRANGER), 6: (CLIENT_6, NEIGHBOUR_6)}
DOCUMENTS = {
    "nothing": document(),
    "the shop for all": document(allow("container", 8080)),
    "the shop for one": document(allow("container", 8080, source=f"{CLIENT}/32")),
    "for one network of IPv6": document(allow("both", source="2001:db8::2/128")),
    "the host's own": document(allow("host", 83, source="192.0.2.0/24"), allow("container", "8081-8082")),
    "by the inner port": document(allow("container", 80, port_kind="container", source=f"{NEIGHBOUR}/32")),
}


@pytest.fixture(scope="module")
def busy(lab: Lab) -> Iterator[Lab]:
    """The lab with a container on the host's network, and one whose port is published to the host only."""
    lab.docker.run_web("inside", port=83, network="host")
    labels = ("--label=com.docker.compose.project=shop", "--label=com.docker.compose.service=db")
    lab.docker.run_web("local", "--publish=127.0.0.1:5433:80", *labels)
    try:
        wait_until("server", lambda: any(each.port == 83 for each in look(lab).sockets))
        yield lab
    finally:
        lab.docker.remove(["inside", "local"])


def look(lab: Lab) -> Snapshot:
    with lab.host.entered():
        return observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))


def exposure(lab: Lab) -> tuple[Snapshot, dict[Family, Prepared], dict[int, ExposureRow]]:
    """Return the compiled snapshot, and the rows by their port."""
    seen, live = look(lab), lab.live()
    around = surroundings_of(seen)
    prepared = {family: prepare(live[family], around, family) for family in FAMILIES}
    offers = find_offers(listening_of(seen, live))
    rows = expose(offers, prepared, outside_interfaces(Settings(external_interfaces=(EXTERNAL,)), around))
    return seen, prepared, {row.offer.port: row for row in rows}


def differences(lab: Lab, rows: dict[int, ExposureRow]) -> list[str]:
    """Return where a row and a real connection disagree; "unknown" counts as well."""
    found = [f"{port}: unknown" for port, row in rows.items() if row.level == "unknown"]
    for port, row in rows.items():
        for who in row.access:
            for source in SOURCES[who.family]:
                says = ip_address(source) in who.passes
                met = try_port(lab.client, DIALLED[who.family], port, source=source)
                if says != (met == "connected"):
                    found.append(f"{port} from {source}: the row says {says}, the kernel {met}")
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_exposure_agrees_with_real_connections(busy: Lab, name: str) -> None:
    busy.load(DOCUMENTS[name])
    _, _, rows = exposure(busy)
    assert {8080, 8081, 5433, 83} <= set(rows)
    assert differences(busy, rows) == []


@pytest.mark.parametrize("name", ["nothing", "the shop for one", "for one network of IPv6"])
def test_exposure_agrees_where_docker_publishes_over_ipv6(ipv6_lab: Lab, name: str) -> None:
    # Docker 20.10 never calls DOCKER-USER for IPv6: what it publishes there is reachable, and the rows say
    # so.
    ipv6_lab.load_unseen(DOCUMENTS[name])
    _, _, rows = exposure(ipv6_lab)
    assert {each.family for each in rows[8080].offer.published} == {4, 6}
    assert differences(ipv6_lab, rows) == []


def test_each_port_is_named_for_what_it_is(busy: Lab) -> None:
    busy.load(document(allow("container", 8080, id="shop")))
    _, _, rows = exposure(busy)
    web = rows[8080]
    address = busy.docker.container_address("web")
    assert (web.offer.kind, web.offer.name, web.offer.inner) == ("container", "web", (f"{address}:80",))
    assert web.notes == ("docker-proxy handles IPv6 on the host itself, and the host's own connections.",)
    assert {who.family: who.rules for who in web.access} == {4: ("shop",), 6: ("shop",)}
    inside = rows[83].offer
    assert (inside.kind, inside.name) == ("host-container", "inside")
    local = rows[5433]
    assert (local.offer.name, local.offer.detail) == ("local", "shop/db")
    assert [who.reason for who in local.access] == ["bound to 127.0.0.1: the host itself only"]


def test_traces_to_containers_by_name_agree_with_packets(busy: Lab) -> None:
    busy.load(document(allow("container", 8080, source=f"{CLIENT}/32")))
    seen, prepared, _ = exposure(busy)
    around, containers = surroundings_of(seen), listening_of(seen, {}).containers
    dialled = [("web", 8080), ("other", 8081), ("inside", 83)]
    asked = [(source, *each) for family in FAMILIES for source in SOURCES[family] for each in dialled]
    for source, name, port in (*asked, (CLIENT, "plain", 81), (STRANGER, "plain", 81)):
        question = Question(source=source, destination=name, port=str(port))
        packet = read_question(question, around, containers).packet
        verdict = simulate(prepared[packet.family], packet).verdict
        met = try_port(busy.client, str(packet.destination), port, source=source)
        assert (verdict.kind == "ACCEPT") == (met == "connected"), (name, source, verdict, met)


def test_a_port_that_another_rule_sends_to_the_host_itself(busy: Lab) -> None:
    """The rule for the port that packets arrive at allows the one that clients dial, and is told."""
    lab = busy
    rule = ("PREROUTING", "-p", "tcp", "--dport", "8443", "-j", "DNAT", "--to-destination", f"{HOST}:83")
    lab.host.iptables("-t", "nat", "-I", *rule)
    try:
        for port, open_ports, code in ((83, (83, 8443), "port-opens-another"), (8443, (), "port-redirected")):
            lab.load(document(allow("host", port)))
            seen, _, rows = exposure(lab)
            reached = tuple(each for each in (83, 8443) if try_port(lab.client, HOST, each) == "connected")
            assert reached == open_ports
            assert tuple(each for each in (83, 8443) if rows[each].level == "anywhere") == open_ports
            assert (rows[8443].offer.kind, rows[8443].offer.name) == ("host-container", "inside")
            plan = plan_changes(lab.document, lab.live(), surroundings=surroundings_of(seen))
            assert [each.code for each in plan.warnings if each.code.startswith("port-")] == [code]
    finally:
        lab.host.iptables("-t", "nat", "-D", *rule)
