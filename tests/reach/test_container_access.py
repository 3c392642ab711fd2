"""The effect of a load on what containers reach on their host: services, and ports of docker-proxy."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import Any

from dockerfw.document.document import Document
from dockerfw.reach import container_access
from dockerfw.reach.container_access import ContainerEffect, find_container_effect
from dockerfw.reach.listening import Listener, Listening
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from tests.rig.docker_world import DB, LISTENING, PROXIES, SURROUNDINGS, WEB, loaded
from tests.rig.documents import document

MYSQL = Listener(4, "tcp", None, 3306, process="mysqld")
DNS = Listener(4, "udp", ip_address("172.17.0.1"), 53, process="dnsmasq")
LOCAL = Listener(4, "tcp", ip_address("127.0.0.1"), 6379, process="redis-server")
SERVICES = Listening((MYSQL, DNS, LOCAL, *PROXIES.listeners), LISTENING.published, (DB, WEB))
WEB_RULE = {"scope": "container", "protocol": "tcp", "ports": ["8080"]}


def effect(
    new: Document,
    old: Document | None = None,
    *,
    listening: Listening = SERVICES,
    surroundings: Surroundings = SURROUNDINGS,
    **values: Any,
) -> ContainerEffect:
    before = loaded(old, surroundings=surroundings, **values)
    return find_container_effect(
        listening, surroundings, before, loaded(new, surroundings=surroundings, **values)
    )


def sentences(found: ContainerEffect) -> list[str]:
    return [f"{change.kind}: {change.sentence}" for change in found.changes]


def test_the_first_load_cuts_what_no_rule_allows() -> None:
    found = effect(document(WEB_RULE))
    assert sentences(found) == [
        "closed: Containers can no longer reach 53/udp at 172.17.0.1 (dnsmasq), 3306/tcp (mysqld) and "
        "5432/tcp (published by db) of this host"
    ]
    assert [(each.protocol, each.port, each.published, each.sources) for each in found.lost] == [
        ("udp", 53, False, ("172.17.0.0/16",)),
        ("tcp", 3306, False, ("172.17.0.0/16",)),
        ("tcp", 5432, True, ("172.17.0.0/16",)),
    ]
    assert found.question == (
        "Containers reach 3 services of this host today: 53/udp at 172.17.0.1 (dnsmasq), 3306/tcp (mysqld) "
        "and 5432/tcp (published by db)."
    )


def test_allow_keeps_all_of_it() -> None:
    found = effect(document(WEB_RULE, containers_reach_host="allow"))
    assert found == ContainerEffect()
    assert found.question == ""


def test_a_trusted_bridge_keeps_all_of_it() -> None:
    assert effect(document(WEB_RULE, trusted_interfaces=["lo", "docker+"])) == ContainerEffect()


def test_rules_decide_for_each_service_and_source() -> None:
    mysql = {"scope": "host", "protocol": "tcp", "ports": ["3306"], "source": "172.17.0.3"}
    dns = {"scope": "host", "protocol": "udp", "ports": ["53"]}
    db = {"scope": "container", "protocol": "tcp", "ports": ["5432"], "source": "172.17.0.0/16"}
    assert sentences(effect(document(mysql, dns, db, WEB_RULE))) == [
        "closed: Some containers can no longer reach 3306/tcp (mysqld) of this host"
    ]


def test_a_rule_for_containers_opens_no_program_of_the_host() -> None:
    program = Listening((Listener(4, "tcp", None, 9000, process="python"),), (), (DB, WEB))
    rule = {"scope": "container", "protocol": "tcp", "ports": ["9000"]}
    assert sentences(effect(document(rule), listening=program)) == [
        "closed: Containers can no longer reach 9000/tcp (python) of this host"
    ]


def test_the_other_way_round_is_named_too() -> None:
    found = effect(document(containers_reach_host="allow"), document(WEB_RULE))
    assert sentences(found)[0].startswith("opened: Containers can reach 53/udp at 172.17.0.1 (dnsmasq)")
    assert not found.lost


def test_one_of_two_bridges_is_named() -> None:
    shop = HostInterface("br-0123456789ab", (ip_interface("172.18.0.1/16"),), True, kind="bridge")
    two = replace(SURROUNDINGS, interfaces=(*SURROUNDINGS.interfaces, shop))
    one = document(trusted_interfaces=["lo", "docker0"])
    assert sentences(effect(one, listening=Listening((MYSQL,)), surroundings=two)) == [
        "closed: Containers on br-0123456789ab can no longer reach 3306/tcp (mysqld) of this host over IPv4"
    ]


def test_what_cannot_be_told_is_unknown_with_the_reason() -> None:
    odd = ("-I INPUT 1 -i docker0 -m quota --quota 9 -j DROP",)
    (change,) = find_container_effect(
        Listening((MYSQL,)),
        SURROUNDINGS,
        loaded(None),
        loaded(document(containers_reach_host="allow"), above=odd),
    ).changes
    assert change.kind == "unknown"
    assert "quota" in change.sentence
    rules = loaded(document())
    (change,) = find_container_effect(Listening((MYSQL,)), SURROUNDINGS, {6: rules[6]}, rules).changes
    assert (change.kind, "IPv4" in change.sentence) == ("unknown", True)


def test_the_comparison_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(container_access, "MOST_ASKED", 2)
    found = effect(document())
    assert len(found.lost) == 2
    assert not found.whole
