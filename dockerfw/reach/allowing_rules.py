"""Which of dockerfw's rules let somebody in, as the kernel holds them.

What such a rule allows is handed back with RETURN, so that the rule which decides in the end is Docker's or a
policy. People ask for the one that they wrote. Owns finding it, by the few shapes that render.py writes; it
decides nothing about a packet.
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
    """One line of one rule: `dialled` says that its port is the one that the client dials."""

    rule_id: str
    sources: AddressSet
    dialled: bool
    ports: Ports | None


class AllowingRules:
    """All that dockerfw's rules allow in one family, found by protocol and port."""

    def __init__(self, ruleset: Ruleset, family: Family) -> None:
        """Read the chains once; asking is cheap then."""
        self.family = family
        self._single: dict[tuple[str, int, int], list[AllowingLine]] = defaultdict(list)
        self._wide: dict[tuple[str, int], list[AllowingLine]] = defaultdict(list)
        for chain in (FILTERS_HOST, FILTERS_CONTAINERS, FILTERS):
            for rule in own_rules(ruleset, chain):
                self._add(chain, rule)

    def find_allowing(
        self, passes: AddressSet, protocol: int, dialled: int, inner: int | None
    ) -> tuple[str, ...]:
        """Return the ids of the rules that let some of `passes` in, in the kernel's order.

        `inner` is the port inside the container for what Docker forwards, None for what the host takes.
        """
        home = FILTERS_HOST if inner is None else FILTERS_CONTAINERS
        arriving = dialled if inner is None else inner
        found = [
            allowance.rule_id
            for chain in (home, FILTERS)
            for allowance in self._candidates(chain, protocol, {dialled, arriving})
            if _meets(allowance, dialled, arriving) and allowance.sources.intersection(passes)
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
        said: Mapping[str, str] = {
            option.name: ",".join(option.values) for match in rule.matches for option in match.options
        }
        protocol = protocol_number(said["-p"]) or 0 if "-p" in said else 0
        everyone = AddressSet.everything(self.family)
        sources = AddressSet.of(self.family, [said["-s"]]) if "-s" in said else everyone
        texts = said.get(_DIALLED) or said.get(_ARRIVING[0]) or said.get(_ARRIVING[1])
        if texts is None:
            self._wide[chain, protocol].append(AllowingLine(rule_id, sources, False, None))
            return
        for text in texts.split(","):
            first, _, last = text.partition(":")
            ports = (int(first), int(last or first))
            allowance = AllowingLine(rule_id, sources, _DIALLED in said, ports)
            if ports[0] == ports[1]:
                self._single[chain, protocol, ports[0]].append(allowance)
            else:
                self._wide[chain, protocol].append(allowance)


def _meets(allowance: AllowingLine, dialled: int, arriving: int) -> bool:
    if allowance.ports is None:
        return True
    port = dialled if allowance.dialled else arriving
    return allowance.ports[0] <= port <= allowance.ports[1]
