"""The members of sets for rules by name, and the rules that have none."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from dockerfw.chains.bound_sets import MOST_MEMBERS
from dockerfw.chains.container_sets import ContainerSet, container_definitions
from dockerfw.chains.render import render_restore
from dockerfw.document.container_labels import label_text
from dockerfw.document.values import Document, DocumentRule, Settings
from dockerfw.iptables.model import Family
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.allowing_rules import ENTRIES, AllowingRules
from dockerfw.reach.bound_sets import with_bound_sets
from dockerfw.reach.container_sets import container_members, find_selected, find_unbound, unmatched_selectors
from dockerfw.reach.container_warnings import unbound_warnings
from dockerfw.reach.listening import Listener, Publication, RunningContainer
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.services import Service, simulate_service
from dockerfw.simulation.simulate import prepare, simulate
from dockerfw.simulation.surroundings import HostInterface
from tests.rig.docker_world import DB, LISTENING, SAVE, SURROUNDINGS, WEB

DOCKER0 = HostInterface("docker0", (ip_interface("172.17.0.1/16"),), True, kind="bridge")


def container(
    name: str, *publications: Publication, addresses: tuple[str, ...] = ("172.17.0.2",), mode: str = "bridge"
) -> RunningContainer:
    return RunningContainer(
        "0" * 12,
        name,
        "shop",
        "web",
        mode,
        tuple(map(ip_address, addresses)),
        publications,
        (),
        ("tier=web",),
    )


def port(number: int, inside: int, address: str = "", protocol: str = "tcp") -> Publication:
    return Publication(protocol, ip_address(address) if address else None, number, inside)


def members(
    definition: ContainerSet,
    *containers: RunningContainer,
    listeners: tuple[Listener, ...] = (),
    family: Family = 4,
) -> tuple[str, ...]:
    name = definition.name(family)
    return container_members({name: definition}, containers, listeners)[name]


def published(*ports: str, selector: str = "db", protocol: str = "tcp") -> ContainerSet:
    return ContainerSet(selector, "published", protocol, ports)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("db", ["db"]),
        ("shop/web", ["db", "web-2"]),
        ("label:tier=web", ["db", "web-2"]),
        # A service alone, an id or a part of a name is none.
        ("web", []),
        ("shop", []),
        ("000000000000", []),
        ("label:tier", ["db", "web-2"]),
        ("label:tie", []),
        ("label:tier=we", []),
    ],
)
def test_what_a_name_selects(selector: str, found: list[str]) -> None:
    known = (container("db"), container("web-2"), replace(DB, id="00000000000f", name="other"))
    assert [each.name for each in find_selected(known, selector)] == found


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("com.example/tier", "web:1", "com.example/tier=web:1"),
        # These values may be secrets, and no rule can name them.
        ("proxy.users", "admin:$2y$05$abc", "proxy.users"),
        ("note", "a b", "note"),
        ("note", "", "note"),
        ("long", "x" * 200, "long"),
        ("k" * 200, "x", ""),
        ("a b", "x", ""),
        ("", "x", ""),
    ],
)
def test_what_is_told_of_a_label(key: str, value: str, text: str) -> None:
    assert label_text(key, value) == text


def test_the_members_are_the_ports_inside_to_which_the_published_ones_lead() -> None:
    db = container("db", port(8080, 80), port(8443, 443), port(53, 53, protocol="udp"), port(9000, 80))
    rival = container("rival", port(8081, 80), addresses=("172.17.0.3",))
    assert members(published("8080"), db, rival) == ("172.17.0.2,tcp:80",)
    assert members(published("8000-8500"), db, rival) == ("172.17.0.2,tcp:443", "172.17.0.2,tcp:80")
    assert members(published("53", protocol="udp"), db) == ("172.17.0.2,udp:53",)
    assert members(published(), db) == ("172.17.0.2,tcp:443", "172.17.0.2,tcp:80")
    assert len(members(published(protocol="any"), db)) == 3
    assert members(published("80"), db) == members(published("8080"), rival) == ()


def test_each_family_has_its_own_addresses() -> None:
    both = container("db", port(8080, 80), addresses=("172.17.0.2", "fd00::2", "10.9.0.2"))
    assert members(published("8080"), both) == ("10.9.0.2,tcp:80", "172.17.0.2,tcp:80")
    assert members(published("8080"), both, family=6) == ("fd00::2,tcp:80",)
    # A port on one address of the host is published in that family alone.
    six = replace(both, publications=(port(8080, 80, "2001:db8::1"),))
    assert members(published("8080"), six) == ()
    assert members(published("8080"), six, family=6) == ("fd00::2,tcp:80",)
    assert members(ContainerSet("db", "inside"), both, family=6) == ("fd00::2",)


def test_what_only_the_host_reaches_is_in_no_set() -> None:
    local = container("db", port(8080, 80, "127.0.0.1"))
    listener = Listener(4, "tcp", ip_address("127.0.0.1"), 8080, process="docker-proxy")
    assert members(published("8080"), local) == ()
    assert members(ContainerSet("db", "proxied", "tcp", ("8080",)), local, listeners=(listener,)) == ()
    onhost = container("db", port(8080, 80), mode="host")
    for kind in ("published", "inside"):
        assert members(ContainerSet("db", kind), onhost) == ()


def test_docker_proxy_is_matched_by_its_own_socket() -> None:
    db = container("db", port(8080, 80, "192.0.2.1"))
    rival = container("rival", port(8080, 80, "192.0.2.9"), addresses=("172.17.0.3",))
    listeners = tuple(
        Listener(4, "tcp", ip_address(address), 8080, process=process)
        for address, process in (
            ("192.0.2.1", "docker-proxy"),
            ("192.0.2.9", "docker-proxy"),
            ("192.0.2.5", "nginx"),
        )
    )
    proxied = ContainerSet("db", "proxied", "tcp", ("8080",))
    assert members(proxied, db, rival, listeners=listeners) == ("192.0.2.1,tcp:8080",)
    # A program of the host that holds the port is none.
    program = (Listener(4, "tcp", ip_address("192.0.2.1"), 8080, process="nginx"),)
    assert members(proxied, db, listeners=program) == ()
    anywhere = container("db", port(8080, 80))
    six = (Listener(6, "tcp", None, 8080, v6only=True, process="docker-proxy"),)
    assert members(proxied, anywhere, listeners=six) == ()
    assert members(proxied, anywhere, listeners=six, family=6) == ("8000::/1,tcp:8080", "::/1,tcp:8080")


def test_a_set_has_at_most_so_many_members() -> None:
    many = [container("db", port(80, 80), addresses=(f"10.{n >> 8}.{n & 255}.1",)) for n in range(20_000)]
    assert len(members(published("80"), *many)) == MOST_MEMBERS


RULE = DocumentRule("name", "container", protocol="tcp", ports=("8080",), container="shop/web")
DOCUMENT = Document(Settings(external_interfaces=("ens33",)), (RULE,))


def test_rules_that_allow_nothing_are_told() -> None:
    found = [
        container("free", port(8080, 80)),
        container("busy", mode="host"),
        container("lan", port(8080, 80), addresses=("192.0.2.7",)),
    ]
    rules = [
        replace(RULE, id=name, container=name) for name in ("free", "busy", "lan", "gone", "label:tier=none")
    ] + [replace(RULE, id="wrong", container="free", ports=("8081",)), replace(RULE, id="off", enabled=False)]
    assert [(each.rule_id, each.problem) for each in find_unbound(rules, found, (DOCKER0,))] == [
        ("busy", "host-network"),
        ("lan", "no-bridge"),
        ("gone", "no-container"),
        ("label:tier=none", "no-container"),
        ("wrong", "not-published"),
    ]
    warnings = unbound_warnings(rules, found, (DOCKER0,))
    assert warnings["gone"].message == "This rule allows nothing now: no running container is named gone."
    assert warnings["busy"].message.startswith("This rule allows nothing: busy uses the host's network.")
    assert "macvlan" in warnings["lan"].message
    assert warnings["wrong"].message.endswith("free publishes none of these ports.")
    assert "free" not in warnings
    assert {*unbound_warnings(rules, None, ())} == {rule.id for rule in rules if rule.enabled}
    document = Document(Settings(), tuple(rules))
    assert unmatched_selectors(document, found) == ("gone", "label:tier=none")


def packet(dialled: int) -> Packet:
    client, host = ip_address("192.0.2.2"), ip_address("192.0.2.1")
    return Packet(4, client, host, 6, "ens33", source_port=40_000, destination_port=dialled)


def test_the_simulation_knows_the_sets_before_they_exist() -> None:
    definitions = container_definitions(DOCUMENT)
    text = SAVE + render_restore(DOCUMENT, 4)
    around = with_bound_sets(SURROUNDINGS, LISTENING, ("ens33",), definitions)
    assert {*definitions} <= {*around.sets}
    prepared = prepare(parse_restore(text, family=4), around, 4)
    assert simulate(prepared, packet(8080)).verdict.kind == "ACCEPT"
    assert simulate(prepared, packet(5432)).verdict.kind == "REJECT"
    # Where Docker was not asked, nothing is claimed.
    blind = with_bound_sets(SURROUNDINGS, replace(LISTENING, containers=None), ("ens33",), definitions)
    unknown = prepare(parse_restore(text, family=4), blind, 4)
    assert simulate(unknown, packet(8080)).verdict.kind == "UNKNOWN"
    assert simulate(unknown, packet(5432)).verdict.kind == "REJECT"


def test_a_rule_by_name_is_named_only_for_its_own_container() -> None:
    rival = replace(WEB, id="0" * 12, name="rival", project="", addresses=(ip_address("172.17.0.4"),))
    listening = replace(LISTENING, containers=(DB, WEB, rival))
    around = with_bound_sets(SURROUNDINGS, listening, ("ens33",), container_definitions(DOCUMENT))
    prepared = prepare(parse_restore(SAVE + render_restore(DOCUMENT, 4), family=4), around, 4)
    host, allowing = ip_address("192.0.2.1"), AllowingRules(prepared)
    for address, inner, found in (
        (WEB.addresses[0], 80, ("name",)),
        (rival.addresses[0], 80, ()),
        (WEB.addresses[0], 81, ()),
    ):
        reach = simulate_service(prepared, Service(4, 6, host, 8080, "ens33"), ENTRIES)
        entered = tuple(
            (chain, replace(state, destination=int(address), destination_port=inner))
            for chain, state in reach.entered
        )
        assert allowing.find_allowing(replace(reach, entered=entered), AddressSet.everything(4)) == found
