"""Whether expectations hold: every path to a port, what decides, and what stays unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dockerfw.chains.sentences import describe_redirecting_inline
from dockerfw.document.document import Document, validate_expectation
from dockerfw.reach import sentences
from dockerfw.reach.expectations import (
    ExpectationContext,
    ExpectationResult,
    check_expectations,
    find_failures,
)
from dockerfw.reach.listening import Listening, Publication, Published, RunningContainer
from dockerfw.reach.sentences import ALL_ALLOWED, ALL_REFUSED
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
    context = ExpectationContext(loaded(wanted, above=above), outside, listening, rules)
    [found] = check_expectations([validate_expectation(expectation)], context)
    return found


@pytest.mark.parametrize(
    ("expectation", "state", "reason"),
    [
        ({"port": 22, "source": OFFICE, "passes": True}, "holds", ALL_ALLOWED),
        ({"port": 22, "source": "203.0.113.7", "passes": True}, "holds", ALL_ALLOWED),
        (
            {"port": 22, "source": OFFICE, "passes": False},
            "fails",
            "from 203.0.113.0/24 it is allowed by",
        ),
        (
            {"port": 22, "source": "203.0.113.0/23", "passes": True},
            "fails",
            "from 203.0.112.0/24 it is refused by rule 1 of filter FILTERS",
        ),
        ({"port": 22, "passes": True}, "fails", "from anywhere over IPv4 it is refused by"),
        ({"port": 22, "source": "198.51.100.7", "passes": False}, "holds", ALL_REFUSED),
        ({"port": 22, "source": "2001:db8:7::/48", "passes": False}, "holds", ALL_REFUSED),
        ({"port": 22, "source": "2001:db8:7::/48", "passes": True}, "fails", "from 2001:db8:7::/48 it is"),
        # Without the host's own address, which no client outside has, it would be eight networks.
        ({"port": 22, "source": "192.0.2.0/24", "passes": True}, "fails", "from 192.0.2.0/24 it is refused"),
        ({"port": 3306, "passes": False}, "holds", ALL_REFUSED),
        ({"protocol": "icmp", "passes": True}, "holds", ALL_ALLOWED),
        ({"port": 5432, "to": "container", "container": "db", "passes": False}, "holds", ALL_REFUSED),
        (
            {"port": 5432, "to": "container", "container": "db", "passes": True},
            "fails",
            "from anywhere over IPv4 it is refused by rule 1 of filter FILTERS",
        ),
        ({"port": 8080, "to": "container", "container": "shop-web-1", "passes": True}, "holds", ALL_ALLOWED),
        ({"port": 80, "to": "container", "container": "web", "passes": True}, "holds", ALL_ALLOWED),
        (
            {"port": 80, "to": "container", "container": "shop/web", "passes": False},
            "fails",
            'from anywhere over IPv4 it is allowed by the rule "8080/tcp from anywhere to containers"',
        ),
        ({"port": 8080, "to": "container", "passes": True}, "holds", ALL_ALLOWED),
        ({"port": 5432, "to": "container", "passes": False}, "holds", ALL_REFUSED),
        (
            {"port": 81, "to": "container", "container": "web", "passes": True},
            "fails",
            sentences.nothing_published("web", 81),
        ),
        ({"port": 81, "to": "container", "passes": True}, "fails", sentences.nothing_published("", 81)),
        (
            {"port": 81, "to": "container", "passes": False},
            "holds",
            sentences.as_if_published(sentences.nothing_published("", 81), ALL_REFUSED),
        ),
        (
            {"port": 1, "to": "container", "container": "moon", "passes": False},
            "unknown",
            sentences.container_not_running("moon"),
        ),
        ({"port": 22, "source": "127.0.0.1", "passes": True}, "unknown", "no outside client can have"),
    ],
)
def test_state_and_reason(expectation: dict[str, Any], state: str, reason: str) -> None:
    found = find(expectation, document(SSH, WEB))
    assert (found.state, found.reason[: len(reason)]) == (state, reason)


@pytest.mark.parametrize("container", ["", "web"])
@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ({"scope": "both", "protocol": "tcp"}, "fails"),
        ({"scope": "container", "protocol": "tcp", "ports": ["5000-6000"]}, "fails"),
        ({"scope": "container", "source": "203.0.113.0/24"}, "fails"),
        ({"scope": "host", "protocol": "tcp"}, "fails"),
        ({"scope": "container", "protocol": "udp", "ports": ["5433"]}, "holds"),
        ({"scope": "container", "protocol": "tcp", "ports": ["5432"]}, "holds"),
    ],
)
def test_a_port_that_no_container_publishes_is_judged_as_if_one_did(
    container: str, rule: dict[str, Any], state: str
) -> None:
    wanted = {"port": 5433, "to": "container", "container": container, "passes": False}
    found = find(wanted, document({**rule, "id": "wide"}))
    assert found.state == state
    assert found.reason.startswith(f"{sentences.nothing_published(container, 5433)} now; if one did, ")
    # Only over IPv6 are the container's packets the host's: docker-proxy accepts them.
    elsewhere = find({**wanted, "source": "198.51.100.7"}, document({**rule, "id": "wide"}))
    assert elsewhere.state == ("holds" if "source" in rule or rule["scope"] == "host" else state)


def test_docker_proxy_would_hold_the_port_over_ipv6() -> None:
    wanted = {"port": 5433, "to": "container", "passes": False, "source": "2001:db8:7::/48"}
    rule = {"id": "wide", "scope": "container", "protocol": "tcp", "ports": ["5433"]}
    found = find(wanted, document(rule))
    assert (found.state, "5433/tcp from anywhere to containers" in found.reason) == ("fails", True)


def test_before_the_first_load_published_ports_are_open() -> None:
    refused = {"port": 5432, "to": "container", "container": "db", "passes": False}
    found = find(refused, None)
    assert str(found) == (
        "5432/tcp of container db from anywhere is refused: fails, "
        "from anywhere over IPv4 it is allowed by rule 1 of filter DOCKER"
    )
    assert find_failures([found]) == (found,)
    assert found.step is not None
    assert found.step.rule is not None
    assert find({**refused, "passes": True}, None).state == "holds"


def test_a_refused_container_must_not_be_reachable_directly() -> None:
    # A client routes to the bridge: nothing is published, and the container's own port answers.
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


def test_a_port_published_on_loopback_is_only_for_the_host() -> None:
    local = replace(DB, publications=(Publication("tcp", ip_address("127.0.0.1"), 5432, 5432),))
    listening = Listening(containers=(replace(local, addresses=()),))
    wanted = {"port": 5432, "to": "container", "container": "db", "passes": True}
    assert find(wanted, document(SSH), listening=listening).state == "fails"
    assert find({**wanted, "passes": False}, document(SSH), listening=listening).state == "holds"


def test_a_port_published_on_loopback_has_to_be_refused_to_neighbours() -> None:
    address = ip_address("127.0.0.1")
    published = (Published(4, "tcp", address, 5432, ip_address("172.17.0.2"), 5432),)
    local = replace(DB, publications=(Publication("tcp", address, 5432, 5432),), addresses=())
    listening = Listening(containers=(local,), published=published)
    wanted = {"port": 5432, "to": "container", "container": "db", "passes": False}
    assert find(wanted, None, listening=listening).state == "fails"
    opened = document({"scope": "container", "protocol": "tcp", "ports": ["5432"]})
    assert find(wanted, opened, listening=listening).state == "holds"


@pytest.mark.parametrize("address", ["192.0.2.50", "10.20.0.5"])
def test_a_container_past_this_host_is_never_called_refused(address: str) -> None:
    apart = replace(DB, addresses=(ip_address(address),), publications=())
    listening = Listening(containers=(apart,))
    for named in ({"container": "db"}, {}):
        refused = {"port": 5432, "to": "container", "passes": False, **named}
        found = find(refused, document(SSH), listening=listening)
        assert (found.state, found.reason) == (
            "unknown",
            sentences.past_this_host(ip_address(address), "ens33"),
        )


def test_a_container_on_the_hosts_network_has_the_hosts_ports() -> None:
    proxy = RunningContainer("00000000000f", "proxy", network_mode="host")
    wanted = {"port": 22, "source": OFFICE, "to": "container", "container": "proxy", "passes": True}
    assert find(wanted, document(SSH), listening=Listening(containers=(proxy,))).state == "holds"


def test_unknown_is_reported_and_does_not_fail() -> None:
    named = {"port": 5432, "to": "container", "container": "db", "passes": False}
    found = find(named, document(SSH), listening=replace(LISTENING, containers=None))
    assert found.state == "unknown"
    assert found.reason == sentences.container_unknown("db")
    # Without names the published ports are still known.
    anyone = {**named, "container": ""}
    assert find(anyone, document(SSH), listening=replace(LISTENING, containers=None)).state == "holds"
    nowhere = find({"port": 22, "passes": True}, document(SSH), outside=())
    assert (nowhere.state, nowhere.reason) == ("unknown", sentences.NO_EXTERNAL_INTERFACE)
    bare = find({"port": 22, "passes": True}, document(SSH), outside=(HostInterface("ens34", (), True),))
    assert (bare.state, bare.reason) == ("unknown", sentences.no_address_to_reach("ens34"))
    quota = ("-I INPUT 1 -m quota --quota 9 -j DROP",)
    odd = find({"port": 22, "source": OFFICE, "passes": True}, document(SSH), above=quota)
    assert odd.state == "unknown"
    assert "quota" in odd.reason
    assert find_failures([found, nowhere, bare, odd]) == ()


def test_where_docker_filters_with_nftables_nothing_is_claimed_of_containers() -> None:
    unseen = replace(LISTENING, published=(), by_nftables=True)
    named = {"port": 5432, "to": "container", "container": "db", "passes": False}
    found = find(named, document(SSH), listening=unseen)
    assert (found.state, found.reason) == ("unknown", sentences.RULES_IN_NFTABLES)
    assert find({"port": 8080, "passes": False}, document(SSH), listening=unseen).state == "unknown"
    office = {"port": 22, "source": OFFICE, "passes": True}
    assert find(office, document(SSH), listening=unseen).state == "holds"


def test_other_tables_may_refuse_what_should_pass() -> None:
    beside = replace(LISTENING, foreign_tables=("inet firewalld",))
    office = {"port": 22, "source": OFFICE, "passes": True}
    found = find(office, document(SSH), listening=beside)
    assert (found.state, found.reason) == ("unknown", sentences.refused_elsewhere(("inet firewalld",)))
    assert find({"port": 9999, "passes": False}, document(SSH), listening=beside).state == "holds"
    assert find({"port": 9999, "passes": True}, document(SSH), listening=beside).state == "fails"


def test_other_tables_may_redirect_what_should_pass_or_be_refused() -> None:
    beside = replace(LISTENING, redirecting_tables=("inet web",))
    for expectation in ({"port": 22, "source": OFFICE, "passes": True}, {"port": 9999, "passes": False}):
        found = find(expectation, document(SSH), listening=beside)
        assert (found.state, found.reason) == ("unknown", describe_redirecting_inline(("inet web",)))
    office = {"port": 22, "source": OFFICE, "passes": False}
    assert find(office, document(SSH), listening=beside).state == "fails"


def test_an_undecidable_match_does_not_hide_a_failure_elsewhere() -> None:
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


def test_an_unread_family_is_unknown() -> None:
    prepared = {4: loaded(document(SSH))[4]}
    context = ExpectationContext({4: prepared[4]}, OUTSIDE, LISTENING)
    both = validate_expectation({"port": 3306, "passes": False})
    one = validate_expectation({"port": 22, "source": OFFICE, "passes": True})
    found = check_expectations([both, one], context)
    assert [(each.state, each.reason) for each in found] == [
        ("unknown", sentences.rules_unread(6)),
        ("holds", ALL_ALLOWED),
    ]
