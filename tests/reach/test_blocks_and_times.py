"""Blocks, limits and times in exposure, expectations and the lock-out check, in every form of the chains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dockerfw.chains.match_groups import Thresholds
from dockerfw.document.values import Document, DocumentRule, Expectation, Settings
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.reach.differences import find_differences
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.reach.exposure import ExposureRow, expose
from dockerfw.reach.listening import Listener, Listening
from dockerfw.reach.lockout import check_access
from dockerfw.reach.offers import find_offers
from dockerfw.simulation.moments import seconds_of
from dockerfw.simulation.simulate import Prepared
from tests.reach.test_allowing_rules import CLEAN, FORMS, kernel
from tests.simulation.hosts import HOST

NOW = "2026-12-01T00:00:00Z"
SSHD = Listening((Listener(4, "tcp", None, 22),))
ETH0 = HOST.interfaces[1]


def rule(name: str, *sources: str, **keys: object) -> DocumentRule:
    return DocumentRule(name, "host", sources, "tcp", ("22",), **keys)  # type: ignore[arg-type]


def prepared(*rules: DocumentRule, limits: Thresholds, now: str = NOW) -> dict[Family, Prepared]:
    wanted = Document(Settings(("eth0",)), rules)
    return {
        4: kernel(wanted, 4, limits).at(seconds_of(now)),
        6: kernel(wanted, 6, limits).at(seconds_of(now)),
    }


def exposed(rules: Mapping[Family, Prepared]) -> ExposureRow:
    (row,) = expose(find_offers(SSHD), rules, (ETH0,))
    return row


# Others, so that in each form there are sets and dispatch chains.
MORE = tuple(DocumentRule(f"m{number:03}", "host", (), "tcp", (str(3000 + number),)) for number in range(20))
BLOCKED = tuple(rule(f"bad{number}", f"203.0.113.{number}/32", action="block") for number in range(7))


@pytest.mark.parametrize("form", FORMS)
def test_a_block_beats_an_allowance_and_is_named(form: str) -> None:
    rules = prepared(rule("open"), *BLOCKED, *MORE, limits=FORMS[form])
    (access,) = exposed(rules).access
    assert (access.level, access.rules) == ("anywhere", ("open",))
    assert [str(each) for each in access.refused.networks()] == [
        "203.0.113.0/30",
        "203.0.113.4/31",
        "203.0.113.6/32",
    ]
    context = ExpectationContext(rules, (ETH0,), SSHD, (rule("open"), *BLOCKED))
    found = check_expectations(
        [Expectation("203.0.113.5/32", "tcp", 22), Expectation("any", "tcp", 22)], context
    )
    assert [each.state for each in found] == ["fails", "fails"]
    assert 'it is refused by the rule "block 22/tcp from 203.0.113.5' in found[0].reason
    source = ip_address("203.0.113.5")
    answer = check_access(rules, HOST, what="SSH", source=source, port=22)
    assert (answer.can, "the block bad5" in answer.reason) == ("no", True)
    assert check_access(rules, HOST, what="SSH", source=source + 90, port=22).can == "yes"


@pytest.mark.parametrize("form", FORMS)
def test_a_limited_allowance_counts_as_reachable(form: str) -> None:
    (access,) = exposed(prepared(rule("slow", limit="6/minute"), *MORE, limits=FORMS[form])).access
    assert (access.level, access.rules) == ("anywhere", ("slow",))


@pytest.mark.parametrize("form", FORMS)
def test_what_has_ended_reaches_nothing_and_what_starts_later_is_told(form: str) -> None:
    ended = rule("old1", expires="2026-11-30T18:00:00Z")
    later = rule("new1", "10.0.0.0/8", starts="2027-01-31T18:00:00Z")
    row = exposed(prepared(ended, later, *MORE, limits=FORMS[form]))
    assert row.level == "nobody"
    assert row.notes == (
        "The rule new1 starts at 2027-01-31 18:00:00 UTC and allows more sources from then on.",
    )
    started = exposed(prepared(ended, later, *MORE, limits=FORMS[form], now="2027-02-01T00:00:00Z"))
    assert (started.level, started.access[0].rules, started.notes) == ("networks", ("new1",), ())
    before = exposed(prepared(ended, later, *MORE, limits=FORMS[form], now="2026-11-30T18:00:00Z"))
    assert (before.level, before.access[0].rules) == ("anywhere", ("old1",))


@pytest.mark.parametrize("form", FORMS)
def test_a_port_that_no_container_publishes_is_judged_by_the_line_for_docker_proxy(form: str) -> None:
    shop = tuple(
        DocumentRule(f"c{number:03}", "container", (), "tcp", (str(8000 + number),)) for number in range(20)
    )
    context = ExpectationContext(prepared(*shop, *MORE, limits=FORMS[form]), (ETH0,), SSHD, shop)
    expected = [Expectation("any", "tcp", port, "container", passes=False) for port in (8019, 8020)]
    opened, closed = check_expectations(expected, context)
    assert (opened.state, closed.state) == ("fails", "holds")
    assert 'allowed by the rule "8019/tcp' in opened.reason
    # Where Docker translates no IPv6, only the line for docker-proxy lets packets in.
    six = [replace(each, source="2a00::/16") for each in expected]
    assert [each.state for each in check_expectations(six, context)] == ["fails", "holds"]


def test_a_first_load_is_compared_also_with_its_sets_and_dispatch_chains() -> None:
    wide = tuple(rule(f"net{number}", f"10.0.{number}.0/24") for number in range(8))
    routed = tuple(
        DocumentRule(f"vm{number:02}", "forwarded", (), "tcp", (str(4000 + number),), to="172.17.0.9/32")
        for number in range(20)
    )
    wanted = Document(Settings(("eth0",)), (*wide, *routed, *MORE))
    found = find_differences({4: parse_save(CLEAN)}, wanted)
    assert {each.kind for each in found} == {"closes"}
    assert not any("4000" in each.sentence for each in found)
