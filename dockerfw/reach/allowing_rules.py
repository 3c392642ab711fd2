"""The dockerfw rules in the kernel that allow given sources, found by the line shapes that render.py writes.

A dockerfw rule returns the packets that it allows, so the final verdict comes from Docker's rules or a
policy. Pages show the dockerfw rule as well, which the admin wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dockerfw.chains.names import FILTERS, FILTERS_CONTAINERS, FILTERS_HOST, own_rules, rule_id_of
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.iptables.protocols import protocol_number
from dockerfw.simulation.addresses import AddressSet

_DIALLED = "--ctorigdstport"
_ARRIVING = ("--dport", "--dports")

Ports = tuple[int, int]


@dataclass(frozen=True, slots=True)
class AllowingLine:
    """One line of one rule; `dialled` means that its ports are those that clients connect to."""

    rule_id: str
    sources: AddressSet
    dialled: bool
    ports: Ports | None


class AllowingRules:
    """Everything that dockerfw's rules allow in one family, indexed by protocol and port."""

    def __init__(self, ruleset: Ruleset, family: Family) -> None:
        """Read the chains once, so that each search is cheap."""
        self.family = family
        self._single: dict[tuple[str, int, int], list[AllowingLine]] = defaultdict(list)
        self._wide: dict[tuple[str, int], list[AllowingLine]] = defaultdict(list)
        for chain in (FILTERS_HOST, FILTERS_CONTAINERS, FILTERS):
            for rule in own_rules(ruleset, chain):
                self._add(chain, rule)

    def find_allowing(
        self, passes: AddressSet, protocol: int, dialled: int, inner: int | None, *, redirected: int = 0
    ) -> tuple[str, ...]:
        """Return the ids of the rules that allow some of `passes`, in the kernel's order.

        `inner` is the port inside the container if Docker forwards the packets, None if the host takes them.
        `redirected` is the port that they arrive at on the host, 0 for the one that the client dials.
        """
        home = FILTERS_HOST if inner is None else FILTERS_CONTAINERS
        arriving = (redirected or dialled) if inner is None else inner
        found = [
            allowance.rule_id
            for chain in (home, FILTERS)
            for allowance in self._candidates(chain, protocol, {dialled, arriving})
            if _includes(allowance, dialled, arriving) and allowance.sources.intersection(passes)
        ]
        return tuple(dict.fromkeys(found))

    def _candidates(self, chain: str, protocol: int, ports: Iterable[int]) -> Iterator[AllowingLine]:
        for port in ports:
            yield from self._single.get((chain, protocol, port), ())
        for each in (protocol, 0):
            yield from self._wide.get((chain, each), ())

    def _add(self, chain: str, rule: Rule) -> None:
        rule_id = rule_id_of(rule.text)
        if rule_id is None or rule.target is None or rule.target.name != "RETURN":
            return
        options: Mapping[str, str] = {
            option.name: ",".join(option.values) for match in rule.matches for option in match.options
        }
        protocol = protocol_number(options["-p"]) or 0 if "-p" in options else 0
        everyone = AddressSet.everything(self.family)
        sources = AddressSet.of(self.family, [options["-s"]]) if "-s" in options else everyone
        texts = options.get(_DIALLED) or options.get(_ARRIVING[0]) or options.get(_ARRIVING[1])
        if texts is None:
            self._wide[chain, protocol].append(AllowingLine(rule_id, sources, False, None))
            return
        for text in texts.split(","):
            first, _, last = text.partition(":")
            ports = (int(first), int(last or first))
            allowance = AllowingLine(rule_id, sources, _DIALLED in options, ports)
            if ports[0] == ports[1]:
                self._single[chain, protocol, ports[0]].append(allowance)
            else:
                self._wide[chain, protocol].append(allowance)


def _includes(allowance: AllowingLine, dialled: int, arriving: int) -> bool:
    if allowance.ports is None:
        return True
    port = dialled if allowance.dialled else arriving
    return allowance.ports[0] <= port <= allowance.ports[1]
