"""Why a revision refused a packet: each kind of reason, and what stays unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dockerfw.document.document import parse_document
from dockerfw.iptables.model import Family
from dockerfw.reach.listening import Publication, RunningContainer
from dockerfw.reach.refusal_reasons import (
    RefusalExplainer,
    RefusalReason,
    RefusedPacket,
    find_container,
)
from dockerfw.simulation.addresses import AddressSet

DB = RunningContainer(
    "ab12",
    "shop-db-1",
    project="shop",
    service="db",
    addresses=(ip_address("172.18.0.5"),),
    publications=(Publication("tcp", None, 5432, 5432),),
)
WEB = replace(DB, id="cd34", name="web", project="", service="", addresses=(ip_address("172.18.0.6"),))
STRANGER = "203.0.113.77"
PACKET = RefusedPacket(
    family=4,
    way="host",
    interface="ens33",
    sources=AddressSet.of(4, [STRANGER]),
    destination="192.0.2.1",
    protocol="tcp",
    port=22,
    inner="",
    inner_port=None,
    containers=(),
    reason="refused",
    moment="2026-11-30T12:00:00.500Z",
)
FORWARDED = replace(PACKET, way="container", port=5432, inner="172.18.0.5", inner_port=5432, containers=(DB,))
FEED = {"cloud": {"kind": "feed", "url": "https://example.org/list"}}


def why(
    packet: RefusedPacket,
    *rules: dict[str, Any],
    groups: Mapping[str, Any] | None = None,
    known: Mapping[str, Mapping[Family, AddressSet] | None] | None = None,
) -> RefusalReason:
    """Return why revision 7 with these rules refused a packet."""
    values = [{"id": f"rule{number}", **rule} for number, rule in enumerate(rules)]
    document = parse_document({"format": "dockerfw/2", "groups": dict(groups or {}), "rules": values})
    return RefusalExplainer(document, 7, known or {}).explain(packet)


def ssh(**changes: Any) -> dict[str, Any]:
    return {"scope": "host", "protocol": "tcp", "ports": ["22"], **changes}


def test_no_rule_names_the_port() -> None:
    found = why(PACKET, {"scope": "both", "protocol": "udp", "ports": ["22"]}, ssh(ports=["23", "1000-2000"]))
    assert (found.kind, found.text) == ("no-rule", "no rule allows 22/tcp")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (ssh(sources=["@office"]), "22/tcp is allowed only from @office"),
        (ssh(sources=["192.0.2.7"]), "22/tcp is allowed only from 192.0.2.7"),
        (ssh(sources=["2001:db8::/32"]), "22/tcp is allowed only from 2001:db8::/32"),
        (ssh(ports=["all"], sources=["@office"]), "22/tcp is allowed only from @office"),
        (ssh(ports=["1-1024"], sources=["@office"]), "22/tcp is allowed only from @office"),
        (ssh(scope="container"), "22/tcp is allowed only to containers"),
        (ssh(scope="container", container="shop/db"), "22/tcp is allowed only to container shop/db"),
        (ssh(to="192.0.2.2"), "22/tcp is allowed only to the host at 192.0.2.2"),
        (ssh(interface="wg+"), "22/tcp is allowed only on wg+"),
        (
            ssh(interface="wg0", sources=["@office"]),
            "22/tcp is allowed only from @office, on wg0",
        ),
        (ssh(expires="2026-11-30T12:00:00Z"), "unknown: revision 7 would allow it now"),
        (ssh(expires="2026-11-30T11:59:59Z"), "22/tcp was allowed only until 2026-11-30 11:59:59 UTC"),
        (ssh(starts="2026-12-01T00:00:00Z"), "22/tcp is allowed only from 2026-12-01 00:00 UTC on"),
        (ssh(limit="6/minute"), "over the limit of 6 a minute"),
        (ssh(limit="6/hour", sources=[STRANGER]), "over the limit of 6 an hour"),
        (ssh(enabled=False), "no rule allows 22/tcp"),
        (ssh(), "unknown: revision 7 would allow it now"),
    ],
)
def test_what_the_nearest_rule_wants(rule: dict[str, Any], text: str) -> None:
    office = {"office": {"kind": "static", "entries": ["198.51.100.0/24"]}}
    assert why(PACKET, rule, groups=office).text == text


def test_the_sources_of_all_rules_for_the_port_are_told() -> None:
    found = why(
        PACKET,
        ssh(sources=["192.0.2.7"]),
        ssh(sources=["198.51.100.0/24"]),
        ssh(scope="container", sources=["10.0.0.0/8"]),
    )
    assert found.text == "22/tcp is allowed only from 192.0.2.7 and 198.51.100.0/24"
    assert found.rules == ("rule0", "rule1")


def test_an_exceeded_limit_beats_what_other_sources_may() -> None:
    found = why(PACKET, ssh(sources=["192.0.2.7"]), ssh(limit="6/minute"))
    assert (found.kind, found.rules) == ("limit", ("rule1",))


def test_a_port_of_a_container() -> None:
    by_name = {"scope": "container", "container": "shop/db", "protocol": "tcp", "ports": ["5432"]}
    assert why(FORWARDED, {**by_name, "sources": ["192.0.2.0/24"]}).text == (
        "5432/tcp is allowed only from 192.0.2.0/24"
    )
    assert why(replace(FORWARDED, containers=(WEB,)), by_name).text == (
        "5432/tcp is allowed only to container shop/db"
    )
    unknown = why(replace(FORWARDED, containers=None), by_name)
    assert (unknown.is_known, unknown.text) == (False, "unknown: which containers ran then is not known")


def test_a_rule_by_the_inner_port() -> None:
    packet = replace(FORWARDED, port=8080, inner_port=80)
    rule = {"scope": "container", "protocol": "tcp", "ports": ["80"], "sources": ["192.0.2.7"]}
    assert why(packet, rule).text == "no rule allows 8080/tcp"
    inside = {**rule, "port_kind": "container"}
    assert why(packet, inside).text == "8080/tcp is allowed only from 192.0.2.7"


def test_a_list_counts_as_it_was_then() -> None:
    rule = ssh(sources=["@cloud"])
    other: dict[Family, AddressSet] = {4: AddressSet.of(4, ["198.51.100.0/24"]), 6: AddressSet.nothing(6)}
    mine: dict[Family, AddressSet] = {**other, 4: PACKET.sources}
    assert why(PACKET, rule, groups=FEED, known={"cloud": other}).text == "22/tcp is allowed only from @cloud"
    assert why(PACKET, rule, groups=FEED, known={"cloud": mine}).kind == "unknown"
    changed = why(PACKET, rule, groups=FEED, known={"cloud": None})
    assert (changed.kind, changed.text) == ("unknown", "unknown: what @cloud stood for then is not known")


def test_a_shortened_source_is_not_guessed() -> None:
    short = replace(PACKET, sources=AddressSet.of(4, ["203.0.113.0/24"]))
    assert why(short, ssh(sources=["192.0.2.7"])).kind == "sources"
    assert why(short, ssh(sources=["203.0.113.7"])).text == "unknown: only a part of the address is stored"


def test_blocks() -> None:
    blocked = replace(PACKET, reason="block")
    by_network = {"action": "block", "scope": "both", "sources": ["203.0.113.0/24", "192.0.2.0/24"]}
    assert why(blocked, by_network, ssh()).text == "blocked by 203.0.113.0/24"
    assert (
        why(blocked, {**by_network, "sources": [], "protocol": "tcp", "ports": ["22"]}).text
        == "blocked for every source"
    )
    by_feed = {**by_network, "sources": ["@cloud"]}
    # The kernel says that a block matched, and there is only this one.
    assert why(blocked, by_feed, groups=FEED, known={"cloud": None}).text == "blocked by @cloud"
    two = why(blocked, by_feed, {**by_feed, "ports": ["22"], "protocol": "tcp"}, groups=FEED)
    assert two.kind == "unknown"
    assert why(blocked, ssh()).text == "unknown: revision 7 has no block that matches"


def test_packets_without_a_port() -> None:
    ping = replace(PACKET, protocol="icmp", port=None)
    assert why(ping, {"scope": "host", "protocol": "icmp", "sources": ["192.0.2.7"]}).text == (
        "icmp is allowed only from 192.0.2.7"
    )
    assert why(replace(PACKET, protocol="99", port=None), ssh()).text == "no rule allows IP protocol 99"
    fragment = why(replace(PACKET, port=None), ssh())
    assert (fragment.kind, fragment.text) == ("unknown", "unknown: the packet shows no port")


def test_without_the_interface_a_rule_for_one_is_unclear() -> None:
    found = why(replace(PACKET, interface=""), ssh(interface="wg0"))
    assert found.text == "unknown: the incoming interface is not known"


def test_the_container_of_a_packet() -> None:
    both = (WEB, DB)
    assert find_container(both, "tcp", 5432, "192.0.2.1", "172.18.0.5") == (DB,)
    assert find_container(both, "tcp", 80, "172.18.0.6", "") == (WEB,)
    assert find_container((DB,), "tcp", 5432, "192.0.2.1", "") == (DB,)
    assert find_container(both, "tcp", 1, "192.0.2.1", "") == ()
    assert find_container(both, "tcp", 5432, "192.0.2.1", "172.18.0.99") == ()
