"""Rules for containers by name: their lines, and the sets that these match."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockerfw.chains.boot import render_boot_chains, render_boot_script
from dockerfw.chains.bound_sets import (
    MOST_MEMBERS,
    UnknownSet,
    bound_set,
    bound_sets_of,
    follows_host,
    render_contents,
)
from dockerfw.chains.container_sets import (
    ContainerSet,
    container_definitions,
    container_match,
    describe_set,
    explain_sets,
    is_container_set,
)
from dockerfw.chains.group_sets import bound_set_name
from dockerfw.chains.names import FILTERS, FILTERS_CONTAINERS, FILTERS_HOST
from dockerfw.chains.render import render, rule_lines
from dockerfw.document.values import Document, DocumentRule, PortKind, Settings
from dockerfw.iptables.model import FAMILIES

RULE = DocumentRule("k3f9", "container", protocol="tcp", ports=("8080",), container="shop/db")
PUBLISHED = ContainerSet("shop/db", "published", "tcp", ("8080",))
PROXIED = replace(PUBLISHED, kind="proxied")
INSIDE = ContainerSet("shop/db", "inside")
END = '-m comment --comment "dockerfw:k3f9" -j RETURN'


def test_a_rule_matches_the_containers_of_its_name_beside_the_dialled_port() -> None:
    for family in FAMILIES:
        assert rule_lines(RULE, family) == {
            FILTERS_CONTAINERS: (
                "-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -m conntrack --ctstate DNAT"
                f" -m set --match-set {PUBLISHED.name(family)} dst,dst {END}",
            ),
            FILTERS_HOST: (
                f"-p tcp -m tcp --dport 8080 -m set --match-set {PROXIED.name(family)} dst,dst {END}",
            ),
        }


def test_ports_inside_are_matched_beside_the_addresses() -> None:
    rule = replace(RULE, ports=("80", "8000-8010"), port_kind="container")
    assert rule_lines(rule, 4) == {
        FILTERS_CONTAINERS: (
            f"-p tcp -m multiport --dports 80,8000:8010 -m set --match-set {INSIDE.name(4)} dst {END}",
        )
    }


def test_a_rule_without_ports_matches_all_that_is_published() -> None:
    rule = replace(RULE, protocol="any", ports=())
    lines = rule_lines(rule, 4)
    every = ContainerSet("shop/db", "published")
    assert lines[FILTERS_CONTAINERS] == (
        f"-m conntrack --ctstate DNAT -m set --match-set {every.name(4)} dst,dst {END}",
    )
    assert lines[FILTERS_HOST] == (
        f"-m set --match-set {replace(every, kind='proxied').name(4)} dst,dst {END}",
    )


@pytest.mark.parametrize(
    "rule",
    [
        replace(RULE, protocol="dccp"),
        replace(RULE, protocol="icmp", ports=()),
        replace(RULE, scope="both"),
        replace(RULE, scope="host"),
        replace(RULE, enabled=False),
    ],
)
def test_what_no_container_publishes_has_no_line(rule: DocumentRule) -> None:
    assert rule_lines(rule, 4) == {}
    assert not container_definitions(Document(rules=(rule,)))


def test_sctp_has_no_docker_proxy_to_trust() -> None:
    assert {*rule_lines(replace(RULE, protocol="sctp"), 6)} == {FILTERS_CONTAINERS}
    assert container_match(RULE, 4, FILTERS) is None


def test_the_definitions_are_those_of_the_sets_that_the_lines_name() -> None:
    kinds: tuple[PortKind, ...] = ("published", "container")
    rules = tuple(
        replace(RULE, id=f"{kind[:3]}{number}", ports=(str(number),), port_kind=kind, container=name)
        for kind in kinds
        for number in (80, 8080)
        for name in ("shop/db", "label:tier=web")
    )
    document = Document(Settings(), rules)
    definitions = container_definitions(document)
    named = bound_sets_of(
        "\n".join(line for lines in render(document, family).chains.values() for line in lines)
        for family in FAMILIES
    )
    assert {*definitions} == {name for name in named if is_container_set(name)}
    # Ports inside do not count for a set of addresses.
    assert len(definitions) == 2 * (2 * 2 * 2 + 2)
    for name, definition in definitions.items():
        assert definition.name(bound_set(name).family) == name
        assert ContainerSet.from_text(definition.to_text()) == definition


def test_names_stay_the_same_for_ever() -> None:
    # The rules of a revision that was loaded by this release name these sets.
    assert PUBLISHED.name(4) == "dockerfw4-c1b8a70df77a608a03b22"
    assert INSIDE.name(6) == "dockerfw6-a6ab303e81fe95823decb"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '["db","published","tcp"]',
        '["db","published","tcp","80"]',
        '["db","other","tcp",[]]',
        '["db","published","dccp",[]]',
        '["db\\nflush x","published","tcp",[]]',
        '["db","published","tcp",["80; flush"]]',
        '["db","published","tcp",[80]]',
    ],
)
def test_a_text_that_is_no_definition(text: str) -> None:
    assert ContainerSet.from_text(text) is None


def test_the_type_of_a_set_follows_from_its_name() -> None:
    assert bound_set(PUBLISHED.name(6)).creation() == (
        f"create {PUBLISHED.name(6)} hash:net,port family inet6 maxelem {MOST_MEMBERS}"
    )
    inside = bound_set(INSIDE.name(4))
    assert inside.type == "hash:net"
    assert inside.takes("172.17.0.2")
    assert not inside.takes("172.17.0.2,tcp:80")
    assert not inside.takes("fd00::2")
    assert not bound_set(PUBLISHED.name(4)).takes("172.17.0.2")
    # ipset takes 31 bytes at most, so there is no room for an ending.
    new = INSIDE.name(4).replace("-a", "-A")
    assert len(new) == 31
    assert render_contents(INSIDE.name(4), ["172.17.0.2"]).splitlines() == [
        f"create {new} hash:net family inet maxelem {MOST_MEMBERS}",
        f"flush {new}",
        f"add {new} 172.17.0.2",
        f"swap {new} {INSIDE.name(4)}",
        f"destroy {new}",
    ]
    with pytest.raises(UnknownSet):
        bound_set(INSIDE.name(4).replace("-a", "-z"))


def test_a_boot_creates_the_sets_empty() -> None:
    texts = [render_boot_chains(render(Document(rules=(RULE,)), family).chains) for family in FAMILIES]
    script = render_boot_script("nft", ["ens33"], "/var/lib/dockerfw/boot", sets=bound_sets_of(texts))
    for family in FAMILIES:
        assert f"create {PUBLISHED.name(family)} hash:net,port " in script
    assert "add dockerfw" not in script


def test_a_set_in_words() -> None:
    assert describe_set(PUBLISHED) == "port 8080/tcp that shop/db publishes"
    assert describe_set(ContainerSet("db", "proxied")) == "every port that db publishes through docker-proxy"
    assert describe_set(INSIDE) == "the addresses of shop/db"
    name = PUBLISHED.name(4)
    words = f"not in the set {name}, but in {INSIDE.name(4)}"
    assert explain_sets(words, {name: PUBLISHED}) == (
        f"not in the set {name} (port 8080/tcp that shop/db publishes), but in {INSIDE.name(4)}"
    )


def test_the_set_of_a_list_does_not_follow_the_host() -> None:
    name = bound_set_name("0123456789abcdef0123", 4)
    assert not follows_host(name)
    assert follows_host(PUBLISHED.name(4))
