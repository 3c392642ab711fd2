"""The effect of a load on outside access, in sentences."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

from dockerfw.document.document import Document
from dockerfw.reach.changes import exposure_changes
from dockerfw.reach.offers import find_offers
from dockerfw.simulation.surroundings import HostInterface
from tests.rig.docker_world import LISTENING, OUTSIDE, SURROUNDINGS, loaded
from tests.rig.documents import document

OFFICE = "203.0.113.0/24"


def host(port: str, source: str = "any", **more: Any) -> dict[str, Any]:
    identifier = f"h{port.replace('-', 'x')}aaa"[:12]
    rule = {"id": identifier, "scope": "host", "protocol": "tcp", "ports": [port], "source": source}
    return {**rule, **more}


def container(port: str, source: str = "any") -> dict[str, Any]:
    return {"id": f"c{port}aaa", "scope": "container", "protocol": "tcp", "ports": [port], "source": source}


def changes(old: Document | None, new: Document, *, known: bool = True) -> list[str]:
    """Return the sentences for a load of one document over another."""
    found = exposure_changes(
        find_offers(LISTENING), (old, new), loaded(old), loaded(new), OUTSIDE, sockets_known=known
    )
    return [f"{each.kind}: {each.sentence}" for each in found]


def test_the_first_load_closes_what_it_does_not_allow() -> None:
    assert changes(None, document(host("22", OFFICE), container("8080"))) == [
        "closed: Every other TCP and UDP port of the host and of all containers"
        " is no longer reachable from anywhere",
        "closed: Every other protocol of the host is no longer reachable from anywhere",
        "closed: 22/tcp (sshd) of the host is reachable from 203.0.113.0/24 only, no longer from anywhere",
        "closed: 5432/tcp of container db is no longer reachable from anywhere",
    ]


def test_opened_ports_come_first_and_name_the_container() -> None:
    old = document(host("22"), container("8080"))
    new = document(host("22"), container("5432"))
    assert changes(old, new) == [
        "opened: 5432/tcp of container db becomes reachable from anywhere",
        "closed: 8080/tcp of container shop-web-1 is no longer reachable from anywhere",
    ]


def test_an_interface_is_named_where_another_one_differs() -> None:
    uncovered = HostInterface("eth9", (ip_interface("198.51.100.1/24"),), True)
    around = replace(SURROUNDINGS, interfaces=(*SURROUNDINGS.interfaces, uncovered))

    def said(old: Document | None, new: Document) -> list[str]:
        before, after = (loaded(each, surroundings=around) for each in (old, new))
        outside = (*OUTSIDE, uncovered)
        found = exposure_changes(
            find_offers(LISTENING), (old, new), before, after, outside, sockets_known=True
        )
        return [f"{each.kind}: {each.sentence}" for each in found]

    # Containers are filtered on ens33 only. What closes there is still reachable through eth9.
    closed = said(None, document(container("8080")))
    assert "closed: 5432/tcp of container db is no longer reachable from anywhere through ens33" in closed
    assert (
        "closed: Every other TCP and UDP port of all containers is no longer reachable"
        " from anywhere through ens33" in closed
    )
    # The host's port closes on both, and no interface is named.
    assert "closed: 22/tcp (sshd) of the host is no longer reachable from anywhere" in closed
    # It was open through eth9 before, and what opens on ens33 is told.
    assert said(document(), document(container("5432"))) == [
        "opened: 5432/tcp of container db becomes reachable from anywhere through ens33"
    ]


def test_networks_are_named_and_a_comment_changes_nothing() -> None:
    old = document(host("22", "198.51.100.0/24"))
    new = document(host("22", OFFICE, comment="the office"))
    assert changes(old, new) == [
        "opened: 22/tcp (sshd) of the host becomes reachable from 203.0.113.0/24",
        "closed: 22/tcp (sshd) of the host is no longer reachable from 198.51.100.0/24",
    ]
    assert changes(new, document(host("22", OFFICE))) == []
    assert changes(document(host("22")), document(host("22", "0.0.0.0/0"))) == [
        "closed: 22/tcp (sshd) of the host is no longer reachable from anywhere over IPv6"
    ]
    both = document(host("22", "0.0.0.0/0"), {**host("22", "::/0"), "id": "h22six"})
    assert changes(both, document(host("22", OFFICE), {**host("22", "::/0"), "id": "h22six"})) == [
        "closed: 22/tcp (sshd) of the host is reachable from 203.0.113.0/24 only,"
        " no longer from anywhere over IPv4"
    ]


def test_a_port_that_only_a_rule_names_is_checked_too() -> None:
    old, new = document(host("22")), document(host("22"), host("9000"), host("7000-7009"))
    assert changes(old, new) == [
        "opened: 7000-7009/tcp, 9000/tcp of the host, where nothing listens now, become reachable"
        " from anywhere"
    ]
    assert changes(old, new, known=False) == [
        "opened: 7000-7009/tcp, 9000/tcp of the host become reachable from anywhere"
    ]
    assert changes(old, document(host("22"), container("9000"))) == []


def test_an_unknown_change_is_a_line_of_its_own() -> None:
    old, new = document(host("22")), document(host("22"), host("9000"))
    found = exposure_changes(
        find_offers(LISTENING),
        (old, new),
        loaded(old),
        loaded(new, above=("-I INPUT 1 -s 203.0.113.0/24 -m quota --quota 9 -j DROP",)),
        OUTSIDE,
        sockets_known=True,
    )
    unknown = [each.sentence for each in found if each.kind == "unknown" and "/tcp" in each.sentence]
    assert len(unknown) == 2
    beginning = "cannot tell whether 22/tcp (sshd) of the host is reachable from 203.0.113.0/24: "
    assert unknown[0].startswith(beginning)
    assert "quota" in unknown[0]


def test_every_port_is_named_as_such_and_the_known_ones_are_examples() -> None:
    old = document(host("22"), container("8080"))
    everything = {"id": "wide", "scope": "both", "protocol": "tcp"}
    assert changes(old, document(host("22"), container("8080"), everything)) == [
        "opened: Every TCP port of the host and of all containers becomes reachable from anywhere",
        "opened: 5432/tcp of container db becomes reachable from anywhere",
    ]
    office = {"id": "wide", "scope": "host", "source": OFFICE}
    assert changes(old, document(host("22"), container("8080"), office)) == [
        "opened: Every TCP and UDP port and every other protocol of the host becomes reachable"
        " from 203.0.113.0/24",
    ]
    assert changes(old, document(host("22"), container("8080"), {**everything, "scope": "container"})) == [
        # docker-proxy accepts IPv6 on the host.
        "opened: Every TCP port of all containers becomes reachable from anywhere over IPv4",
        "opened: 5432/tcp of container db becomes reachable from anywhere",
    ]


def test_ping_is_told() -> None:
    accept, refuse = document(host("22")), document(host("22"), icmp="refuse")
    assert changes(accept, refuse) == ["closed: Ping to the host stops working"]
    assert changes(refuse, accept) == ["opened: Ping to the host starts working"]
    office = {"id": "ping", "scope": "host", "protocol": "icmp", "source": OFFICE}
    assert changes(refuse, document(host("22"), office, icmp="refuse")) == [
        "opened: Ping to the host starts working from 203.0.113.0/24"
    ]
    assert changes(accept, document(host("22"), office)) == []


def test_the_first_load_on_a_host_where_nothing_listens() -> None:
    new = document(host("22"))
    found = exposure_changes((), (None, new), loaded(None), loaded(new), OUTSIDE, sockets_known=True)
    assert [str(each) for each in found] == [
        "Every other TCP and UDP port of the host and of all containers is no longer reachable from anywhere",
        "Every other protocol of the host is no longer reachable from anywhere",
    ]


def test_a_class_is_left_out_if_rules_name_every_port() -> None:
    all_named = document(host("1-65535"))
    assert changes(document(host("22")), all_named) == [
        "opened: 1-65535/tcp of the host, where nothing listens now, becomes reachable from anywhere"
    ]


def test_a_run_of_ports_is_one_range() -> None:
    ports = [9000, 9001, 9002, 9003, 9007, 9009, 9010]
    found = changes(document(host("22")), document(host("22"), *(host(str(port)) for port in ports)))
    (line,) = [line for line in found if "9000" in line]
    assert line.startswith("opened: 9000-9003/tcp, 9007/tcp, 9009/tcp, 9010/tcp of the host")
