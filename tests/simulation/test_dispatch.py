"""Trees of chains that are entered by -g: what falls off their ends, and how few chains a packet enters."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from dockerfw.iptables.model import Rule
from dockerfw.simulation import chains
from dockerfw.simulation.compiled import CompiledRule
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.services import Service, simulate_service
from dockerfw.simulation.simulate import simulate
from tests.simulation.hosts import TCP, UDP, filtered, packet, prepared, verdict

UNDECIDED = "-m recent --rcheck"
FAN_OUT = 16


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # The end of a chain that was entered by -g is the end of the chain before it.
        (["-A INPUT -j A", "-A INPUT -j DROP", "-A A -g B", "-A A -j ACCEPT"], "DROP"),
        (["-A INPUT -j A", "-A INPUT -j DROP", "-A A -g B", "-A B -g C", "-A B -j ACCEPT"], "DROP"),
        (["-A INPUT -g A", "-A INPUT -j DROP", "-A A -g B", "-A B -g C"], "ACCEPT"),
        ([":INPUT DROP", "-A INPUT -g A", "-A INPUT -j ACCEPT", "-A A -g B"], "DROP"),
        # RETURN in it means the same.
        (["-A INPUT -j A", "-A INPUT -j DROP", "-A A -g B", "-A A -j ACCEPT", "-A B -j RETURN"], "DROP"),
        # A jump from it comes back to it.
        (["-A INPUT -j A", "-A INPUT -j ACCEPT", "-A A -g B", "-A B -j C", "-A B -j DROP"], "DROP"),
        (["-A INPUT -j A", "-A INPUT -j ACCEPT", "-A A -j B", "-A A -j DROP", "-A B -g C"], "DROP"),
        # A -g that may not be followed: both ways.
        (["-A INPUT -j A", "-A INPUT -j DROP", f"-A A {UNDECIDED} -g B", "-A A -j ACCEPT"], "UNKNOWN"),
        (["-A INPUT -j A", "-A INPUT -j DROP", f"-A A {UNDECIDED} -g B", "-A A -j DROP"], "DROP"),
        (["-A INPUT -g A", "-A A -g B", "-A B -g A"], "UNKNOWN"),
    ],
)
def test_what_follows_the_end_of_a_chain(lines: list[str], expected: str) -> None:
    assert verdict(filtered(":A -", ":B -", ":C -", *lines)) == expected


def leaf(number: int) -> str:
    """Return the match of a rule: its ports, and a source that few rules share."""
    first = 1024 + 4 * number
    return f"-s 203.0.{number % 8}.0/24 {ports(first, first + 3)}"


def ports(first: int, last: int) -> str:
    return f"-p tcp -m conntrack --ctorigdstport {first}:{last} --ctdir ORIGINAL"


class Tree:
    """Rules in a tree of chains, each of which ends in `-g END`."""

    def __init__(self, leaves: int) -> None:
        self.chains: dict[str, list[str]] = {"OWN": [], "END": ["-j DROP"]}
        self.chains["OWN"] = [f"-p tcp -g {self._add(0, leaves)}", "-g END"]

    def text(self) -> str:
        """Return the restore file."""
        rules = [f"-A {name} {rule}" for name, rules in self.chains.items() for rule in rules]
        return filtered(*(f":{name} -" for name in self.chains), "-A INPUT -j OWN", *rules)

    def _add(self, first: int, last: int) -> str:
        """Add the chain of some leaves, and return its name."""
        name = f"D{len(self.chains)}"
        self.chains[name] = []
        if last - first <= FAN_OUT:
            rules = [f"{leaf(number)} -j RETURN" for number in range(first, last)]
        else:
            size = FAN_OUT
            while size * FAN_OUT < last - first:
                size *= FAN_OUT
            rules = [
                f"{ports(1024 + 4 * start, 1023 + 4 * min(last, start + size))}"
                f" -g {self._add(start, min(last, start + size))}"
                for start in range(first, last, size)
            ]
        self.chains[name] = [*rules, "-g END"]
        return name


def compiled_names(monkeypatch: pytest.MonkeyPatch) -> dict[str, None]:
    """Return the names of the chains that are compiled from now on."""
    names: dict[str, None] = {}
    compile_rule = chains._compile

    def note(rule: Rule, *more: Any) -> CompiledRule:
        names[rule.chain] = None
        return compile_rule(rule, *more)

    monkeypatch.setattr(chains, "_compile", note)
    return names


def test_a_tree_answers_like_the_plain_rules() -> None:
    leaves, dice = 600, Random(11)
    flat = prepared(
        filtered(*(f"-A INPUT {leaf(each)} -j ACCEPT" for each in range(leaves)), "-A INPUT -j DROP")
    )
    deep = prepared(Tree(leaves).text())
    for _ in range(60):
        port = dice.choice((22, 1023, 1024, 1024 + 4 * leaves, dice.randrange(1024, 1024 + 4 * leaves)))
        sent = packet(
            source=f"203.0.{dice.randrange(9)}.{dice.randrange(256)}",
            destination_port=port,
            protocol=dice.choice((TCP, TCP, UDP)),
        )
        assert simulate(flat, sent).verdict.kind == simulate(deep, sent).verdict.kind
        service = Service(4, sent.protocol, sent.destination, port, "eth0")
        one, other = simulate_service(flat, service), simulate_service(deep, service)
        assert (one.passes, one.refused) == (other.passes, other.refused)


def test_a_packet_compiles_and_enters_only_the_chains_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Tree(10_000).text()
    entered = compiled_names(monkeypatch)
    deep = prepared(text)
    sent = packet(source="203.0.3.7", destination_port=1024 + 4 * 4003)
    found = simulate(deep, sent)
    assert found.verdict.kind == "ACCEPT"
    assert len(entered) == 6
    assert {step.chain for step in found.steps if step.chain} == set(entered)
    # A service from all sources goes the same way, once; behind it is the refusal of all others.
    assert simulate_service(deep, service_of(sent)).passes.count() == 256
    assert set(entered) == {step.chain for step in found.steps if step.chain} | {"END"}


def test_a_packet_of_another_protocol_enters_no_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Tree(10_000).text()
    entered = compiled_names(monkeypatch)
    assert simulate(prepared(text), packet(protocol=UDP, destination_port=2000)).verdict.kind == "DROP"
    assert set(entered) == {"INPUT", "OWN", "END"}


def test_replaced_chains_are_compiled_when_they_are_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Tree(1000).text()
    entered = compiled_names(monkeypatch)
    deep, other = prepared(text), prepared(filtered(":END -", "-A END -j ACCEPT"))
    changed = replace(
        deep, chains=chains.replace_chains(deep.chains, {("filter", "END"): other.chains["filter", "END"]})
    )
    assert ("filter", "D3") in changed.chains
    assert ("filter", "NONE") not in changed.chains
    assert len(changed.chains) == len(deep.chains)
    assert simulate(changed, packet(protocol=UDP)).verdict.kind == "ACCEPT"
    assert set(entered) == {"INPUT", "OWN", "END"}


def service_of(sent: Packet) -> Service:
    return Service(4, sent.protocol, sent.destination, sent.destination_port, "eth0")
