"""Warnings about rules: nothing listens, a database is open, a published port has no rule."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dockerfw.document.document import validate_rule
from dockerfw.reach import sentences
from dockerfw.reach.listening import Published
from dockerfw.reach.offers import Offer, find_offers
from dockerfw.reach.rule_warnings import find_ports_without_rule, find_ruled_ports, rule_warnings
from tests.rig.docker_world import LISTENING

OFFERS = find_offers(LISTENING)
INSIDE = Published(4, "tcp", None, 15432, ip_address("172.17.0.9"), 5432)
MOVED = Offer("tcp", 15432, None, "", (4,), "container", "db2", "", (INSIDE,))


def warnings(offers: tuple[Offer, ...] = OFFERS, *, sockets_known: bool = True, **rule: Any) -> list[str]:
    values = {"scope": "both", "protocol": "tcp", **rule}
    found = rule_warnings(validate_rule(values), offers, sockets_known=sockets_known)
    return [f"{each.code}: {each.message}" for each in found]


POSTGRES = f"wide-database: {sentences.wide_database('PostgreSQL', 'any')}"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"ports": ["22"]}, []),
        ({"ports": ["22"], "scope": "host"}, []),
        (
            {"ports": ["22"], "scope": "container"},
            ["idle: Nothing is listening on 22/tcp in a container now."],
        ),
        ({"ports": ["8080"], "scope": "host"}, ["idle: Nothing is listening on 8080/tcp on the host now."]),
        ({"ports": ["8070-8085"]}, []),
        ({"ports": ["9000"]}, ["idle: Nothing is listening on 9000/tcp now."]),
        ({"ports": ["9000", "9001"]}, ["idle: Nothing is listening on these ports now."]),
        ({"ports": ["22"], "protocol": "udp"}, ["idle: Nothing is listening on 22/udp now."]),
        ({"ports": ["9000"], "enabled": False}, []),
        ({"ports": ["9000"], "scope": "container", "port_kind": "container"}, []),
        ({"ports": ["9000"], "scope": "forwarded", "to": "192.168.122.0/24"}, []),
        ({"ports": ["5432"], "scope": "forwarded", "to": "192.168.122.0/24"}, [POSTGRES]),
        ({}, []),
        ({"ports": ["8080"], "scope": "container", "container": "shop/web"}, []),
        ({"ports": ["8080"], "scope": "container", "container": "shop-web-1"}, []),
        ({"ports": ["8080"], "scope": "container", "container": "label:tier=web"}, []),
        (
            {"ports": ["8080"], "scope": "container", "container": "db"},
            ["idle: Nothing is listening on 8080/tcp in a container now."],
        ),
        ({"ports": ["5432"]}, [POSTGRES]),
        ({"ports": ["5000-6000"]}, [POSTGRES]),
        ({"ports": ["5432"], "source": "198.51.100.0/24"}, []),
        ({"ports": ["5432"], "source": "10.0.0.0/8"}, []),
        ({"ports": ["5432"], "source": "0.0.0.0/0"}, [POSTGRES.replace("anyone", "0.0.0.0/0")]),
        ({"ports": ["5432"], "source": "2000::/3"}, [POSTGRES.replace("anyone", "2000::/3")]),
        ({"ports": ["5432"], "protocol": "sctp"}, ["idle: Nothing is listening on 5432/sctp now."]),
        ({"ports": ["8080"]}, []),
    ],
)
def test_warnings_about_a_rule(rule: dict[str, Any], found: list[str]) -> None:
    assert warnings(**rule) == found


def test_a_rule_for_forwarded_traffic_names_the_containers_that_it_opens() -> None:
    forwarded: dict[str, Any] = {"scope": "forwarded", "protocol": "any"}
    ports = sentences.opens_containers(["5432/tcp", "8080/tcp"])
    assert warnings(**forwarded, to="172.16.0.0/12") == [f"opens-containers: {ports}"]
    assert warnings(**forwarded, to="192.168.122.0/24") == []
    one: dict[str, Any] = {"scope": "forwarded", "to": "172.17.0.0/16", "ports": ["8080"]}
    assert warnings(**one) == [f"opens-containers: {sentences.opens_containers(['8080/tcp'])}"]
    assert warnings(**one, source="10.0.0.0/8", enabled=False) == []


def test_a_database_is_recognised_by_its_port_inside_too() -> None:
    assert warnings((*OFFERS, MOVED), ports=["15432"]) == [POSTGRES]
    assert warnings((*OFFERS, MOVED), ports=["15432"], scope="host") == [
        "idle: Nothing is listening on 15432/tcp on the host now."
    ]


def test_without_the_sockets_there_is_no_warning_about_the_host() -> None:
    published = tuple(offer for offer in OFFERS if offer.reaches_container)
    assert warnings(published, sockets_known=False, ports=["22"]) == []
    assert warnings(published, sockets_known=False, ports=["22"], scope="container") != []


def test_ports_with_a_rule() -> None:
    def ruled(**rule: Any) -> set[int]:
        known = [validate_rule({"scope": "both", "protocol": "tcp", **rule})]
        return {key[1] for key in find_ruled_ports(known, OFFERS)}

    assert {22, 8080} <= ruled(ports=["22", "8080"])
    assert 22 not in ruled(ports=["22"], scope="container")
    assert 8080 not in ruled(ports=["8080"], scope="host")
    assert 8080 in ruled(ports=["8000-9000"], scope="container")
    assert 8080 in ruled(ports=["8080"], scope="container", container="shop/web")
    assert 8080 not in ruled(ports=["8080"], scope="container", container="db")
    assert 8080 in ruled(ports=["80"], scope="container", port_kind="container")
    assert 22 in ruled(action="block", protocol="any", sources=["192.0.2.0/24"])
    assert ruled(ports=["22"], enabled=False) == set()


def test_published_ports_without_a_rule() -> None:
    def missing(*rules: dict[str, Any], more: tuple[Offer, ...] = ()) -> list[int]:
        known = [validate_rule({"scope": "both", "protocol": "tcp", **rule}) for rule in rules]
        return [offer.port for offer in find_ports_without_rule(known, (*OFFERS, *more))]

    assert missing() == [5432, 8080]
    assert missing({"ports": ["8080"]}) == [5432]
    assert missing({"ports": ["8080", "5432"]}) == []
    assert missing({"ports": ["8070-8085"]}) == [5432]
    assert missing({"protocol": "any"}) == []
    assert missing({"ports": ["8080"], "scope": "host"}) == [5432, 8080]
    assert missing({"ports": ["8080"], "enabled": False}) == [5432, 8080]
    assert missing({"ports": ["80"], "scope": "container", "port_kind": "container"}) == [5432]
    assert missing({"ports": ["8080"], "protocol": "udp"}) == [5432, 8080]
    assert missing({"ports": ["8080", "5432"]}, more=(replace(MOVED, unseen="by nftables"),)) == []
    local = replace(MOVED, address=ip_address("127.0.0.1"))
    assert missing({"ports": ["8080", "5432"]}, more=(local,)) == []
    assert missing({"ports": ["8080", "5432"]}, more=(MOVED,)) == [15432]
    # A rule for forwarded traffic opens the containers in its destination, and no others.
    one = {"scope": "forwarded", "ports": ["8080", "5432"]}
    assert missing({**one, "to": "172.17.0.2"}) == [8080]
    assert missing({**one, "to": "172.17.0.0/16"}) == []
    assert missing({**one, "to": "192.168.122.0/24"}) == [5432, 8080]
