"""Containers' own addresses: which ports clients with a route reach there, by the mode of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from dockerfw.chains.render import render_restore
from dockerfw.document.document import make_document, validate_rule
from dockerfw.document.values import Document, Settings
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach import sentences
from dockerfw.reach.changes import exposure_changes
from dockerfw.reach.container_offers import find_container_offers, past_host_offers
from dockerfw.reach.elsewhere import containers_past_host
from dockerfw.reach.exposure import ExposureRow, expose, find_idle_rules
from dockerfw.reach.listening import Listening, OpenPort, Published, RunningContainer
from dockerfw.reach.offers import find_offers
from dockerfw.reach.opened_ports import find_opened
from dockerfw.reach.own_addresses import add_own_addresses
from dockerfw.reach.sentences import RULES_IN_NFTABLES, describe_exposure
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import HostInterface, Surroundings

ENS33 = HostInterface("ens33", (ip_interface("192.0.2.10/24"),), True)
HOST = Surroundings(
    (
        ENS33,
        HostInterface("docker0", (ip_interface("172.17.0.1/16"),), True, kind="bridge"),
        HostInterface("routedbr", (ip_interface("172.30.0.1/24"),), True, kind="bridge"),
        HostInterface("br-0123456789ab", (ip_interface("172.31.0.1/24"),), True, kind="bridge"),
    ),
    {4: ("ens33",)},
)
# As Docker 28.5 writes it: docker0 is a usual network, routedbr is routed, the third is nat-unprotected.
NEW = """*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER ! -i br-0123456789ab -p tcp -m tcp --dport 8083 -j DNAT --to-destination 172.31.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-BRIDGE
-A DOCKER -d 172.30.0.2/32 ! -i routedbr -o routedbr -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER -o routedbr -p icmp -j ACCEPT
-A DOCKER ! -i routedbr -o routedbr -j DROP
-A DOCKER ! -i br-0123456789ab -o br-0123456789ab -j ACCEPT
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-BRIDGE -o routedbr -j DOCKER
-A DOCKER-BRIDGE -o br-0123456789ab -j DOCKER
COMMIT
"""
# As Docker 20.10 does, on a host whose policy of FORWARD is ACCEPT.
OLD = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
"""
STRICT = OLD.replace(":FORWARD ACCEPT", ":FORWARD DROP")
WEB = RunningContainer("00000000000a", "web", addresses=(ip_address("172.17.0.2"),))
FRONT = RunningContainer("00000000000b", "front", addresses=(ip_address("172.30.0.2"),), ports=(("tcp", 80),))
BACK = RunningContainer("00000000000c", "back", addresses=(ip_address("172.31.0.2"),), ports=(("tcp", 80),))
PUBLISHED = (
    Published(4, "tcp", None, 8080, ip_address("172.17.0.2"), 80),
    Published(4, "tcp", None, 8083, ip_address("172.31.0.2"), 80),
)
EVERY_TCP, EVERY_UDP = map(sentences.every_other_port, ("tcp", "udp"))


def document(*rules: Mapping[str, object]) -> Document:
    return make_document(
        Settings(external_interfaces=("ens33",)), tuple(validate_rule(rule) for rule in rules)
    )


def rule(*ports: str, **values: object) -> dict[str, object]:
    return {"id": "rule1", "scope": "container", "protocol": "tcp", "ports": list(ports), **values}


def kernel(text: str, loaded: Document | None) -> dict[Family, Prepared]:
    load = render_restore(loaded, 4, live=parse_save(text)) if loaded else ""
    return {4: prepare(parse_restore(text + load, family=4), HOST, 4)}


def listening_on(text: str, containers: tuple[RunningContainer, ...] | None) -> Listening:
    return Listening(published=PUBLISHED, containers=containers, opened=find_opened(parse_save(text), 4))


def all_rows(
    text: str,
    loaded: Document | None,
    containers: tuple[RunningContainer, ...] | None = (WEB, FRONT, BACK),
    by_nftables: bool = False,
) -> tuple[ExposureRow, ...]:
    prepared = kernel(text, loaded)
    listening = replace(listening_on(text, containers), by_nftables=by_nftables)
    offers = find_offers(listening)
    own = find_container_offers(listening, (prepared,), (ENS33,), offers)
    return add_own_addresses(expose(offers, prepared, (ENS33,)), expose(own, prepared, (ENS33,)))


def levels(
    text: str,
    loaded: Document | None,
    containers: tuple[RunningContainer, ...] | None = (WEB, FRONT, BACK),
    by_nftables: bool = False,
) -> dict[str, str]:
    """Return the level of each row of a container's own address: `{"front 80": "anywhere"}`."""
    return {
        f"{row.offer.name} {row.offer.ports or row.offer.port}": row.level
        for row in all_rows(text, loaded, containers, by_nftables=by_nftables)
        if row.offer.direct
    }


def test_ports_that_docker_accepts() -> None:
    assert find_opened(parse_save(NEW), 4) == (
        OpenPort(4, "tcp", ip_address("172.30.0.2"), 80),
        OpenPort(4, "tcp", ip_address("172.17.0.2"), 80),
    )
    assert listening_on(NEW, ()).routed == (OpenPort(4, "tcp", ip_address("172.30.0.2"), 80),)
    hostile = NEW.replace("172.30.0.2/32", "172.30.0.999/32").replace(
        "--dport 80 -j ACCEPT", "--dport 0 -j ACCEPT"
    )
    assert find_opened(parse_save(hostile), 4) == ()


def test_before_the_first_load() -> None:
    # What back publishes is reached at an address of the host too, and web's own address answers no client.
    assert levels(NEW, None) == {
        "front 80": "anywhere",
        f"back {EVERY_TCP}": "anywhere",
        f"back {EVERY_UDP}": "anywhere",
    }
    assert levels(OLD, None, (WEB,)) == {f"web {EVERY_TCP}": "anywhere", f"web {EVERY_UDP}": "anywhere"}
    assert levels(STRICT, None, (WEB,)) == {}


@pytest.mark.parametrize(
    ("loaded", "found"),
    [
        (document(), {"front 80": "nobody"}),
        (
            document(rule("8080", "8083")),
            {"front 80": "nobody", "back 8080": "anywhere", "back 8083": "anywhere"},
        ),
        (document(rule("80", port_kind="container")), {"front 80": "anywhere"}),
        (document(rule("80", source="198.51.100.0/24")), {"front 80": "networks", "back 80": "networks"}),
        (document(rule("5432", scope="both")), {"front 80": "nobody", "back 5432": "anywhere"}),
        (document(rule("5432", scope="host")), {"front 80": "nobody"}),
        (document(rule("6000-6010")), {"front 80": "nobody", "back 6000-6010/tcp": "anywhere"}),
        (document(rule(protocol="udp")), {"front 80": "nobody", f"back {EVERY_UDP}": "anywhere"}),
    ],
)
def test_rules_count_by_the_port_that_clients_dial_there(loaded: Document, found: dict[str, str]) -> None:
    assert levels(NEW, loaded) == found


def test_a_rule_for_a_published_port_may_open_the_same_port_of_an_own_address() -> None:
    # Docker 20.10 accepts port 80 of web, which it publishes at 8080.
    by_80 = rule("80", scope="both", source="198.51.100.0/24")
    assert levels(STRICT, document(by_80), (WEB,)) == {"web 80": "networks"}
    (row,) = (each for each in all_rows(STRICT, document(by_80), (WEB,)) if each.offer.direct)
    assert (row.access[0].rules, row.notes) == (("rule1",), (sentences.OWN_ADDRESS,))
    assert levels(STRICT, document(by_80, rule("8080", id="rule2")), (WEB,)) == {}


def test_without_docker_each_network_has_an_address_that_stands_for_its_containers() -> None:
    found = levels(NEW, document(rule("5432")), None)
    assert found == {" 80": "nobody", "containers on br-0123456789ab 5432": "anywhere"}
    (row,) = (each for each in all_rows(NEW, document(rule("5432")), None) if each.offer.port == 5432)
    assert (str(row.offer.address), row.offer.detail) == ("172.31.0.2", "172.31.0.0/24")
    assert row.notes == (sentences.OWN_ADDRESS, sentences.STANDS_FOR_NETWORK)


def test_docker_with_nftables_may_refuse_what_iptables_lets_pass() -> None:
    open_host = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
    found = levels(open_host, None, (WEB,), by_nftables=True)
    assert found == {f"web {EVERY_TCP}": "unknown", f"web {EVERY_UDP}": "unknown"}
    row = next(each for each in all_rows(open_host, None, (WEB,), by_nftables=True) if each.offer.direct)
    assert [each.reason for each in row.access] == [RULES_IN_NFTABLES]
    closed = open_host.replace(":FORWARD ACCEPT", ":FORWARD DROP")
    assert levels(closed, None, (WEB,), by_nftables=True) == {}


def test_a_routed_port_says_where_it_is_published() -> None:
    (offer,) = (each for each in find_offers(listening_on(NEW, (FRONT,))) if each.direct)
    assert (offer.port, str(offer.address), offer.name, offer.kind) == (
        80,
        "172.30.0.2",
        "front",
        "container",
    )
    assert offer.notes == (sentences.PUBLISHED_AT_OWN_ADDRESS,)
    assert (offer.inner_port(4), offer.reaches_container) == (80, True)


def effect(text: str, old: Document | None, new: Document) -> list[str]:
    rules = (kernel(text, old), kernel(text, new))
    listening = listening_on(text, (WEB, FRONT, BACK))
    offers = find_offers(listening)
    own = find_container_offers(listening, rules, (ENS33,), offers)
    found = exposure_changes(offers, (old, new), *rules, (ENS33,), own=own, sockets_known=True)
    return [str(each) for each in found]


def test_the_review_tells_what_a_load_changes_there() -> None:
    said = effect(NEW, None, document(rule("8080")))
    assert "80/tcp at 172.30.0.2 of container front is no longer reachable from anywhere" in said
    # The rule lets clients dial 8080 of the open address too, which stays as it was.
    many = "every other tcp port at 172.31.0.2, every other udp port at 172.31.0.2 of container back"
    assert f"8083/tcp, {many} are no longer reachable from anywhere" in said
    # Port 80 of back follows from 8083, which it is published at.
    assert not any("80/tcp at 172.31.0.2" in each for each in said)
    said = effect(NEW, document(), document(rule("80", port_kind="container")))
    assert "80/tcp at 172.30.0.2 of container front becomes reachable from anywhere" in said
    assert effect(NEW, document(), document()) == []


def test_more_ports_than_are_listed() -> None:
    many = document(rule(*(str(port) for port in range(9000, 9200, 2))), rule(protocol="tcp", id="rule2"))
    found = [each for each in all_rows(NEW, many, (BACK,)) if each.offer.direct]
    assert len(found) == 62
    (every,) = (each for each in found if each.offer.ports)
    assert sentences.ports_left_out(40) in every.notes


def test_the_summary_and_idle_rules() -> None:
    loaded = document(rule(protocol="tcp"), rule("5432", id="rule2"), rule("53", id="rule3", scope="host"))
    rows = all_rows(NEW, loaded)
    assert [each.id for each in find_idle_rules(loaded, rows, "2027-01-31T18:00:00Z")] == ["rule3"]
    said = describe_exposure(rows)
    assert said.endswith("Many ports of back are reachable at containers' own addresses.")
    unknown = [
        replace(
            row,
            access=(replace(row.access[0], passes=row.access[0].passes.difference(row.access[0].passes)),),
        )
        for row in rows
        if row.offer.ports
    ]
    assert describe_exposure(unknown) == (
        "Nothing listens and nothing is published. "
        "Cannot tell who reaches many ports of back at containers' own addresses."
    )


def test_a_container_past_this_host_is_a_row_that_cannot_tell() -> None:
    apart = RunningContainer(
        "00000000000d",
        "apart",
        addresses=(ip_address("192.0.2.50"), ip_address("10.20.0.5")),
        ports=(("udp", 53), ("tcp", 80)),
    )
    bare = RunningContainer("00000000000e", "bare", addresses=(ip_address("192.0.2.51"),))
    listening = Listening(containers=(apart, bare, WEB))
    offers = past_host_offers(containers_past_host(listening, HOST, (ENS33,)))
    assert [(each.name, each.ports, each.families) for each in offers] == [
        ("apart", "80/tcp, 53/udp", (4,)),
        ("bare", sentences.EVERY_PORT, (4,)),
    ]
    assert offers[0].notes == ("Also at 10.20.0.5.",)
    rows = expose(offers, kernel(NEW, document()), (ENS33,))
    assert [row.level for row in rows] == ["unknown", "unknown"]
    assert rows[0].access[0].reason == sentences.past_this_host(ip_address("192.0.2.50"), "ens33")
    # The sentence names the containers: they are no ports that are counted.
    assert describe_exposure(rows, (), ("apart", "bare")).startswith(
        "Nothing listens and nothing is published."
    )
    assert not find_container_offers(listening, (kernel(NEW, None),), (ENS33,))
