"""Whether expectations hold: the ways to a port, who decides, and what nobody can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dockerfw.document.document import Document, validate_expectation
from dockerfw.reach.expectations import (
    ExpectationContext,
    ExpectationResult,
    check_expectations,
    find_failures,
)
from dockerfw.reach.listening import Container, Listening, Publication
from dockerfw.simulation.surroundings import HostInterface
from tests.rig.docker_world import DB, LISTENING, OUTSIDE, loaded
from tests.rig.documents import document

OFFICE = "203.0.113.0/24"
SSH = {"id": "sshd", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": OFFICE}
WEB = {"id": "webs", "scope": "container", "protocol": "tcp", "ports": ["8080"]}


def find(
    expectation: Mapping[str, Any],
    wanted: Document | None,
    *,
    listening: Listening = LISTENING,
    outside: tuple[HostInterface, ...] = OUTSIDE,
    above: Iterable[str] = (),
) -> ExpectationResult:
    """Check one expectation against the kernel of a Docker host that holds a document."""
    rules = wanted.rules if wanted else ()
    sight = ExpectationContext(loaded(wanted, above=above), outside, listening, rules)
    [found] = check_expectations([validate_expectation(expectation)], sight)
    return found


@pytest.mark.parametrize(
    ("expectation", "state", "reason"),
    [
        ({"port": 22, "source": OFFICE, "passes": True}, "holds", "all of these"),
        ({"port": 22, "source": "203.0.113.7", "passes": True}, "holds", "all of these"),
        (
            {"port": 22, "source": OFFICE, "passes": False},
            "fails",
            "from 203.0.113.0/24 it is let through by",
        ),
        (
            {"port": 22, "source": "203.0.113.0/23", "passes": True},
            "fails",
            "from 203.0.112.0/24 it is refused by rule 1 of filter FILTERS",
        ),
        ({"port": 22, "passes": True}, "fails", "from anywhere by IPv4 it is refused by"),
        ({"port": 22, "source": "198.51.100.7", "passes": False}, "holds", "none of these"),
        ({"port": 22, "source": "2001:db8:7::/48", "passes": False}, "holds", "none of these"),
        ({"port": 22, "source": "2001:db8:7::/48", "passes": True}, "fails", "from 2001:db8:7::/48 it is"),
        # Without the host's own address in it, which nobody outside has, it would be eight networks.
        ({"port": 22, "source": "192.0.2.0/24", "passes": True}, "fails", "from 192.0.2.0/24 it is refused"),
        ({"port": 3306, "passes": False}, "holds", "none of these"),
        ({"protocol": "icmp", "passes": True}, "holds", "all of these"),
        ({"port": 5432, "to": "container", "container": "db", "passes": False}, "holds", "none of these"),
        (
            {"port": 5432, "to": "container", "container": "db", "passes": True},
            "fails",
            "from anywhere by IPv4 it is refused by rule 1 of filter FILTERS",
        ),
        ({"port": 8080, "to": "container", "container": "shop-web-1", "passes": True}, "holds", "all of"),
        ({"port": 80, "to": "container", "container": "web", "passes": True}, "holds", "all of these"),
        (
            {"port": 80, "to": "container", "container": "shop/web", "passes": False},
            "fails",
            'from anywhere by IPv4 it is let through by the rule "8080/tcp from anywhere to containers"',
        ),
        ({"port": 8080, "to": "container", "passes": True}, "holds", "all of these"),
        ({"port": 5432, "to": "container", "passes": False}, "holds", "none of these"),
        (
            {"port": 81, "to": "container", "container": "web", "passes": True},
            "fails",
            "web does not publish port 81",
        ),
        ({"port": 81, "to": "container", "passes": True}, "fails", "no container publishes port 81"),
        ({"port": 81, "to": "container", "passes": False}, "holds", "none of these"),
        (
            {"port": 1, "to": "container", "container": "moon", "passes": False},
            "unknown",
            "no container moon is",
        ),
        ({"port": 22, "source": "127.0.0.1", "passes": True}, "unknown", "nobody outside has the address"),
    ],
)
def test_what_holds(expectation: dict[str, Any], state: str, reason: str) -> None:
    found = find(expectation, document(SSH, WEB))
    assert (found.state, found.reason[: len(reason)]) == (state, reason)


def test_before_the_first_load_what_is_published_is_open() -> None:
    refused = {"port": 5432, "to": "container", "container": "db", "passes": False}
    found = find(refused, None)
    assert str(found) == (
        "5432/tcp of container db from anywhere is refused: fails, "
        "from anywhere by IPv4 it is let through by rule 1 of filter DOCKER"
    )
    assert find_failures([found]) == (found,)
    assert found.step is not None
    assert found.step.rule is not None
    assert find({**refused, "passes": True}, None).state == "holds"


def test_the_way_straight_to_a_container_counts_for_what_is_refused() -> None:
    # Somebody routes to the bridge: nothing is published, and the container's own port answers.
    routed = {
        "id": "rout",
        "scope": "container",
        "protocol": "tcp",
        "ports": ["5432"],
        "port_kind": "container",
    }
    above = ("-A DOCKER-USER -d 172.17.0.2 -p tcp --dport 5432 -j ACCEPT",)
    db = replace(DB, publications=())
    listening = Listening(containers=(db,))
    refused = {"port": 5432, "to": "container", "container": "db", "passes": False}
    assert find(refused, document(SSH), listening=listening).state == "holds"
    assert find(refused, document(routed), listening=listening).state == "fails"
    assert find(refused, None, listening=listening, above=above).state == "fails"


def test_a_port_published_for_the_host_itself_is_nobody_elses() -> None:
    local = replace(DB, publications=(Publication("tcp", ip_address("127.0.0.1"), 5432, 5432),))
    listening = Listening(containers=(replace(local, addresses=()),))
    wanted = {"port": 5432, "to": "container", "container": "db", "passes": True}
    assert find(wanted, document(SSH), listening=listening).state == "fails"
    assert find({**wanted, "passes": False}, document(SSH), listening=listening).state == "holds"


def test_a_container_on_the_hosts_network_has_the_hosts_ports() -> None:
    proxy = Container("00000000000f", "proxy", network_mode="host")
    wanted = {"port": 22, "source": OFFICE, "to": "container", "container": "proxy", "passes": True}
    assert find(wanted, document(SSH), listening=Listening(containers=(proxy,))).state == "holds"


def test_what_is_not_known_is_said_and_does_not_fail() -> None:
    named = {"port": 5432, "to": "container", "container": "db", "passes": False}
    found = find(named, document(SSH), listening=replace(LISTENING, containers=None))
    assert found.state == "unknown"
    assert "Docker is not asked" in found.reason
    # Without names the published ports are known all the same.
    anyone = {**named, "container": ""}
    assert find(anyone, document(SSH), listening=replace(LISTENING, containers=None)).state == "holds"
    nowhere = find({"port": 22, "passes": True}, document(SSH), outside=())
    assert (nowhere.state, nowhere.reason) == ("unknown", "the host has no external interface")
    bare = find({"port": 22, "passes": True}, document(SSH), outside=(HostInterface("ens34", (), True),))
    assert (bare.state, bare.reason) == ("unknown", "ens34 has no address that could be dialled")
    quota = ("-I INPUT 1 -m quota --quota 9 -j DROP",)
    odd = find({"port": 22, "source": OFFICE, "passes": True}, document(SSH), above=quota)
    assert odd.state == "unknown"
    assert "quota" in odd.reason
    assert find_failures([found, nowhere, bare, odd]) == ()


def test_where_docker_filters_with_nftables_nothing_is_claimed_of_containers() -> None:
    unseen = replace(LISTENING, published=(), by_nftables=True)
    named = {"port": 5432, "to": "container", "container": "db", "passes": False}
    found = find(named, document(SSH), listening=unseen)
    assert (found.state, found.reason[:12]) == ("unknown", "Docker keeps")
    assert find({"port": 8080, "passes": False}, document(SSH), listening=unseen).state == "unknown"
    office = {"port": 22, "source": OFFICE, "passes": True}
    assert find(office, document(SSH), listening=unseen).state == "holds"


def test_who_filters_beside_iptables_may_refuse_what_should_pass() -> None:
    beside = replace(LISTENING, foreign_tables=("inet firewalld",))
    office = {"port": 22, "source": OFFICE, "passes": True}
    found = find(office, document(SSH), listening=beside)
    assert (found.state, found.reason[:44]) == ("unknown", "iptables lets them through, but firewalld fi")
    assert find({"port": 9999, "passes": False}, document(SSH), listening=beside).state == "holds"
    assert find({"port": 9999, "passes": True}, document(SSH), listening=beside).state == "fails"


def test_a_match_that_nobody_can_decide_does_not_hide_what_fails_elsewhere() -> None:
    wide = {"port": 22, "source": "203.0.112.0/22", "passes": True}
    above = ("-I INPUT 1 -s 203.0.113.0/24 -m quota --quota 9 -j DROP",)
    assert find(wide, document(SSH), above=above).state == "fails"
    assert find({**wide, "passes": False}, document(SSH), above=above).state == "unknown"


def test_a_ban_of_fail2ban_is_no_reason_to_fail() -> None:
    open_ssh = document({"scope": "host", "protocol": "tcp", "ports": ["22"]})
    banned = (
        ":f2b-sshd - [0:0]",
        "-I INPUT 1 -p tcp -m tcp --dport 22 -j f2b-sshd",
        "-A f2b-sshd -s 198.51.100.9/32 -j REJECT",
        "-A f2b-sshd -j RETURN",
    )
    anywhere = {"port": 22, "passes": True}
    assert find(anywhere, open_ssh, above=banned).state == "holds"
    by_hand = ("-I INPUT 1 -s 198.51.100.9/32 -j REJECT",)
    found = find(anywhere, open_ssh, above=by_hand)
    assert (found.state, found.sources) == ("fails", ("198.51.100.9",))


def test_a_family_that_could_not_be_read_is_not_known() -> None:
    prepared = {4: loaded(document(SSH))[4]}
    sight = ExpectationContext({4: prepared[4]}, OUTSIDE, LISTENING)
    both = validate_expectation({"port": 3306, "passes": False})
    one = validate_expectation({"port": 22, "source": OFFICE, "passes": True})
    found = check_expectations([both, one], sight)
    assert [(each.state, each.reason) for each in found] == [
        ("unknown", "the rules of IPv6 could not be read"),
        ("holds", "all of these sources get through"),
    ]
