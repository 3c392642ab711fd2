"""What a load leaves as it is need not be asked again: the same answers, with few simulations."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dockerfw.document.document import Document
from dockerfw.iptables.model import FAMILIES, Ruleset
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach import exposure, unchanged
from dockerfw.reach.changes import exposure_changes
from dockerfw.reach.exposure import expose, expose_both
from dockerfw.reach.offers import Offer, find_offers
from dockerfw.reach.unchanged import Changed, Rules, Unchanged, find_changed
from dockerfw.simulation.services import simulate_service
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import IpSet
from tests.rig.compiled_documents import random_document
from tests.rig.docker_world import LISTENING, OUTSIDE, SURROUNDINGS, loaded
from tests.rig.documents import document

PORTS = [
    *find_offers(LISTENING),
    *(Offer("tcp", port, None, "", FAMILIES, "process", "", "") for port in (80, 443, 8005, 9100)),
]


def edited(dice: random.Random, first: Document) -> Iterator[Document]:
    """Yield the document with a comment, without a rule, with one that is off, and with another set."""
    rules = list(first.rules)
    at = dice.randrange(len(rules))
    yield replace(first, rules=(*rules[:at], replace(rules[at], comment="new"), *rules[at + 1 :]))
    yield replace(first, rules=(*rules[:at], *rules[at + 1 :]))
    yield replace(first, rules=(*rules[:at], replace(rules[at], enabled=False), *rules[at + 1 :]))
    group = replace(first.groups[0], entries=("203.0.113.77/32",))
    yield replace(first, groups=(group, *first.groups[1:])) if group.kind == "static" else first


def everything_changes(before: Rules, after: Rules) -> Changed:
    """Return that every chain changes, so that all is asked again."""
    return dict.fromkeys((*before, *after), "all")


@pytest.mark.parametrize("seed", range(6))
def test_the_answers_are_those_of_asking_again(seed: int) -> None:
    dice = random.Random(seed)
    first = random_document(dice, 40)
    first = replace(first, settings=replace(first.settings, external_interfaces=("ens33",)))
    before = loaded(first)
    for other in edited(dice, first):
        after = loaded(other)
        was, now = expose_both(PORTS, before, after, OUTSIDE)
        assert [(row.offer, row.access) for row in was] == [
            (row.offer, row.access) for row in expose(PORTS, before, OUTSIDE)
        ]
        for row, wanted in zip(now, expose(PORTS, after, OUTSIDE), strict=True):
            assert row.offer == wanted.offer
            for one, same in zip(row.access, wanted.access, strict=True):
                assert (one.passes, one.unknown, one.rules) == (same.passes, same.unknown, same.rules)
        said = exposure_changes(PORTS, (first, other), before, after, OUTSIDE, sockets_known=True)
        every = Unchanged(everything_changes(before, after))
        asked = exposure_changes(
            PORTS, (first, other), before, after, OUTSIDE, sockets_known=True, unchanged=every
        )
        assert said == asked
        if Unchanged(find_changed(before, after)).everything:
            assert asked == ()


def test_only_ports_on_a_chain_that_changes_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        {"id": f"r{port}aaa", "scope": "host", "protocol": "tcp", "ports": [str(port)], "source": "any"}
        for port in range(2000, 2400)
    ]
    first = document(*rules)
    other = document(
        *({**rule, "source": "203.0.113.0/24"} if "r2300" in rule["id"] else rule for rule in rules)
    )
    offers = [Offer("tcp", port, None, "", FAMILIES, "process", "", "") for port in range(2000, 2400, 5)]
    asked: list[int] = []

    def ask(prepared: Prepared, *about: object) -> object:
        asked.append(prepared.family)
        return simulate_service(prepared, *about)  # type: ignore[arg-type]

    monkeypatch.setattr(exposure, "simulate_service", ask)
    before, after = loaded(first), loaded(other)
    expose(offers, before, OUTSIDE)
    once = len(asked)
    asked.clear()
    expose_both(offers, before, after, OUTSIDE)
    assert once < len(asked) < once * 1.2


def rules_of(text: str, **sets: IpSet) -> Rules:
    """Return the rules of a filter table for IPv4."""
    around = replace(SURROUNDINGS, sets=sets)
    lines = "\n".join(("*filter", ":INPUT ACCEPT [0:0]", *text.splitlines(), "COMMIT"))
    return {4: prepare(parse_restore(lines, family=4), around, 4)}


INPUT = ("filter", "INPUT")
ONE = ":ONE - [0:0]\n-A ONE -s 192.0.2.0/24 -j DROP\n"
LEADS = "-A INPUT -j ONE"


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (ONE + LEADS, ONE + LEADS, set()),
        (
            '-A INPUT -m comment --comment "dockerfw r1 0123456789ab" -j DROP',
            '-A INPUT -m comment --comment "dockerfw r2 ba9876543210" -j DROP',
            set(),
        ),
        (ONE + LEADS, ONE.replace("DROP", "REJECT") + LEADS, {("filter", "ONE")}),
        (LEADS, ONE + LEADS, {("filter", "ONE"), INPUT}),
        (LEADS, LEADS.replace("-j", "-g"), {INPUT}),
        ("-P INPUT DROP", "", {INPUT}),
        ("-A INPUT -j SET --add-set a src", "-A INPUT -j SET --add-set a src", "all"),
    ],
)
def test_what_changes(before: str, after: str, wanted: object) -> None:
    assert find_changed(rules_of(before), rules_of(after))[4] == wanted


def test_a_chain_changes_with_the_sets_that_its_rules_name() -> None:
    text = "-A INPUT -m set --match-set {} src -j DROP"
    one, other = (IpSet("a", "hash:net", (network,)) for network in ("192.0.2.0/24", "198.51.100.0/24"))
    both = IpSet("b", "list:set", ("a",))
    for name, wanted in (("a", {INPUT}), ("b", {INPUT}), ("c", set())):
        found = find_changed(
            rules_of(text.format(name), a=one, b=both), rules_of(text.format(name), a=other, b=both)
        )
        assert found[4] == frozenset(wanted)


def test_what_is_not_certain_counts_as_changed() -> None:
    rules = rules_of(LEADS)
    assert find_changed(rules, {}) == {4: "all"}
    later: Rules = {4: rules[4].at(1)}
    assert find_changed(rules, later) == {4: "all"}
    elsewhere: Rules = {4: replace(rules[4], surroundings=replace(SURROUNDINGS, interfaces=()))}
    assert find_changed(rules, elsewhere) == {4: "all"}
    unread: Rules = {4: replace(rules[4], ruleset=Ruleset({}))}
    assert INPUT in find_changed(rules, unread)[4]
    assert not Unchanged({}).everything
    assert not Unchanged({4: frozenset()}).holds(6, frozenset())
    assert unchanged.Unchanged({4: frozenset({INPUT})}).holds(4, frozenset({("filter", "FORWARD")}))
