"""Sessions judged with the members of sets: containers by name, docker-proxy, lists, and destinations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dockerfw.chains.container_sets import container_definitions
from dockerfw.chains.group_sets import bound_group_set
from dockerfw.chains.names import PROXY_SETS
from dockerfw.document.document import Document, parse_document
from dockerfw.reach.inbound import InboundSession, NewlyRefused, SessionJudge, sets_asked
from tests.reach.test_inbound import inbound

DB, RIVAL = "172.17.0.2", "172.17.0.3"
NAMED = {"scope": "container", "container": "db", "protocol": "tcp", "ports": ["8080"]}
PLAIN = {"scope": "container", "protocol": "tcp", "ports": ["8080"]}
PROXIES = {PROXY_SETS[4]: frozenset[str](), PROXY_SETS[6]: frozenset[str]()}


def document(*rules: dict[str, Any], groups: dict[str, Any] | None = None) -> Document:
    """Return a document of the newest format for the external interface ens33."""
    values = {"external_interfaces": ["ens33"]}
    return parse_document(
        {"format": "dockerfw/2", "settings": values, "groups": groups or {}, "rules": list(rules)}
    )


def members_of(wanted: Document, **found: str) -> dict[str, frozenset[str]]:
    """Return the members of a document's sets by kind; docker-proxy holds no port."""
    known = {**PROXIES}
    for name, definition in container_definitions(wanted).items():
        known[name] = frozenset([found[definition.kind]] if definition.kind in found else [])
    return known


def allows(wanted: Document, session: InboundSession, members: Mapping[str, frozenset[str]]) -> bool | None:
    assert set(members) <= set(sets_asked(wanted))
    return SessionJudge(wanted, members=members).allows(session)


def test_a_rule_by_name_allows_the_published_port_of_its_container_alone() -> None:
    wanted = document(NAMED)
    known = members_of(wanted, published=f"{DB},tcp:80")
    published, rival = inbound(port=8080, inner=(DB, 80)), inbound(port=8080, inner=(RIVAL, 80))
    assert allows(wanted, published, known) is True
    assert allows(wanted, rival, known) is False
    # The same port inside, published once more; another port inside; straight to the container.
    assert allows(wanted, inbound(port=8443, inner=(DB, 80)), known) is False
    assert allows(wanted, inbound(port=8080, inner=(DB, 81)), known) is False
    assert allows(wanted, inbound(to=DB, port=8080), members_of(wanted, published=f"{DB},tcp:8080")) is False
    # While the members are unknown, so is whose the session is.
    assert allows(wanted, published, PROXIES) is None


def test_a_rule_by_name_allows_what_docker_proxy_takes_for_it() -> None:
    wanted = document(NAMED)
    proxied, elsewhere = inbound("2001:db8::2", "2001:db8::1", 8080), inbound(port=8080)
    known = members_of(wanted, proxied="2001:db8::1,tcp:8080")
    assert allows(wanted, proxied, known) is True
    assert allows(wanted, elsewhere, known) is False
    for half in ("0.0.0.0/1", "128.0.0.0/1"):
        known = members_of(wanted, proxied=f"{half},tcp:8080")
        assert allows(wanted, elsewhere, known) is (half == "128.0.0.0/1")
    assert allows(wanted, proxied, PROXIES) is None


def test_a_rule_by_name_for_ports_inside() -> None:
    wanted = document({**NAMED, "ports": ["80"], "port_kind": "container"})
    known = members_of(wanted, inside=DB)
    assert allows(wanted, inbound(to=DB, port=80), known) is True
    assert allows(wanted, inbound(port=8080, inner=(DB, 80)), known) is True
    assert allows(wanted, inbound(to=RIVAL, port=80), known) is False
    assert allows(wanted, inbound(to=DB, port=81), known) is False


@pytest.mark.parametrize("other", [{**NAMED, "ports": ["8080-8090"]}, PLAIN])
def test_a_session_that_another_rule_allows_is_not_refused(other: dict[str, Any]) -> None:
    before, after = document(NAMED, other), document(other)
    known = members_of(before, published=f"{DB},tcp:80")
    session = inbound(port=8080, inner=(DB, 80))
    for wanted, refused in ((after, False), (document(), True)):
        loss = NewlyRefused({4: document(NAMED)}, wanted, members=known)
        assert loss.includes(session) is refused
    # Where it cannot be told that the other one allows it, the session stays.
    mine = {name: known[name] for name in {*container_definitions(document(NAMED))}}
    loss = NewlyRefused({4: document(NAMED)}, document({**other, "container": "web"}), members=mine)
    assert not loss.includes(session)


def test_a_block_refuses_what_a_rule_by_name_allows() -> None:
    block = {"action": "block", "scope": "container", "sources": ["203.0.113.0/24"]}
    before, after = document(NAMED), document(NAMED, block)
    known = members_of(after, published=f"{DB},tcp:80")
    loss = NewlyRefused({4: before}, after, members=known)
    assert loss.includes(inbound(port=8080, inner=(DB, 80)))
    assert not loss.includes(inbound("198.51.100.7", port=8080, inner=(DB, 80)))
    assert not loss.includes(inbound(port=8080, inner=(RIVAL, 80)))


def test_a_rule_for_containers_is_about_what_docker_proxy_holds() -> None:
    here, wanted = inbound(port=8080), document(PLAIN)
    held = {**PROXIES, PROXY_SETS[4]: frozenset(["192.0.2.1,tcp:8080"])}
    assert allows(wanted, here, held) is True
    # A program of the host on the same port needs a rule for the host.
    assert allows(wanted, here, PROXIES) is False
    assert allows(wanted, here, {}) is True
    block = {"action": "block", "scope": "container", "sources": ["203.0.113.0/24"]}
    every = document({"scope": "both"}, block)
    assert allows(every, here, held) is False
    assert allows(every, here, PROXIES) is True
    # A host's own program must not lose its sessions because nobody knows what docker-proxy holds.
    assert allows(every, here, {}) is None
    assert not NewlyRefused({4: document({"scope": "both"})}, every).includes(here)


@pytest.mark.parametrize("scope", ["host", "both", "container"])
def test_the_destination_of_a_rule_is_the_one_that_was_dialled(scope: str) -> None:
    rule = {"scope": scope, "protocol": "tcp", "ports": ["8080"], "to": "192.0.2.1"}
    sessions = [inbound(port=8080), inbound(to="10.8.0.1", port=8080)]
    if scope != "host":
        sessions = [inbound(port=8080, inner=(DB, 80)), inbound(to="10.8.0.1", port=8080, inner=(DB, 80))]
    assert [allows(document(rule), each, {}) for each in sessions] == [True, False]
    inside = {**rule, "ports": ["80"], "port_kind": "container", "to": DB}
    if scope != "host":
        assert allows(document(inside), sessions[1], {}) is True
        assert allows(document({**inside, "to": RIVAL}), sessions[1], {}) is False
    # The report of an earlier root worker does not tell.
    untold = InboundSession("host", 4, "tcp", "203.0.113.9", 8080, 8080, ("ens33",))
    assert allows(document({**rule, "scope": "host"}), untold, {}) is None


def test_interfaces_are_certain_where_the_rule_covers_all() -> None:
    rule = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
    for interface, expected in (("wg+", True), ("wg0", True), ("lan0", False)):
        assert allows(document({**rule, "interface": interface}), inbound("10.8.0.7"), {}) is expected
    # Of a link-local address any interface with such a network can be the one.
    either = inbound("fe80::7", "fe80::1")
    assert allows(document({**rule, "interface": "ens33"}), either, {}) is None


def test_lists_count_with_what_their_sets_hold() -> None:
    groups = {"feed": {"kind": "feed", "url": "https://example.org/list"}}
    wanted = document(
        {"scope": "host", "sources": ["@feed"], "protocol": "tcp", "ports": ["22"]}, groups=groups
    )
    assert allows(wanted, inbound(), {}) is None
    name = bound_group_set(wanted.groups[0], 4)
    assert allows(wanted, inbound(), {name: frozenset(["203.0.113.0/25"])}) is True
    assert allows(wanted, inbound(), {name: frozenset(["203.0.113.9"])}) is True
    assert allows(wanted, inbound(), {name: frozenset(["203.0.113.128/25"])}) is False


def test_a_group_of_very_many_networks_is_known() -> None:
    entries = [f"20.{high}.{low}.0/26" for high in range(6) for low in range(200)]
    groups = {"many": {"kind": "static", "entries": [*entries, "203.0.113.9", "2001:db8:7::/48"]}}
    wanted = document(
        {"scope": "host", "sources": ["@many"], "protocol": "tcp", "ports": ["22"]}, groups=groups
    )
    for source, expected in (("20.5.199.63", True), ("20.5.199.64", False), ("203.0.113.9", True)):
        assert allows(wanted, inbound(source), {}) is expected
    assert allows(wanted, inbound("2001:db8:7::9", "2001:db8::1"), {}) is True
    assert allows(wanted, inbound("2001:db8:8::9", "2001:db8::1"), {}) is False


def test_a_block_by_a_list_that_is_not_known_hides_no_session_that_lost_its_rule() -> None:
    groups = {"bad": {"kind": "feed", "url": "https://example.org/list"}}
    ssh = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
    block = {"action": "block", "scope": "both", "sources": ["@bad"]}
    before, after = document(ssh, block, groups=groups), document(block, groups=groups)
    # Nobody knows whether the list blocks it, but without a rule it is refused in any case.
    assert allows(before, inbound(), {}) is None
    assert allows(after, inbound(), {}) is False
    assert NewlyRefused({4: before}, after).includes(inbound())
    # Where only the block is new, the session may be none of the list's.
    assert not NewlyRefused({4: document(ssh)}, before).includes(inbound())
