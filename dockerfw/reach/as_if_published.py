"""The rules as they would be if a container published ports that none publishes now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_interface
from typing import Final

from dockerfw.chains.names import DOCKER, DOCKER_USER, FORWARD
from dockerfw.iptables.model import Chain, Rule, Ruleset, Table
from dockerfw.simulation.chains import compile_chains
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface

_PREROUTING: Final = "PREROUTING"
_BRIDGE: Final = "dockerfw-any"
_ADDRESSES: Final = (ip_interface("100.127.255.1/30"), ip_interface("fdff:ffff:ffff:ffff::1/64"))
_NETWORK: Final = HostInterface(_BRIDGE, _ADDRESSES, True, kind="bridge")
_CONTAINER: Final = {4: "100.127.255.2", 6: "[fdff:ffff:ffff:ffff::2]"}


def publish(prepared: Prepared, ports: Iterable[tuple[str, int]]) -> Prepared:
    """Return the rules with a container on a network of its own that publishes these ports by protocol.

    Where Docker translates no IPv6, docker-proxy would accept the packets on the host: nothing changes then.
    """
    if prepared.family == 6 and prepared.ruleset.chain("nat", DOCKER) is None:
        return prepared
    inside = _CONTAINER[prepared.family]
    translations = [
        f"-A {_PREROUTING} -p {each} -m {each} --dport {port} -j DNAT --to-destination {inside}:{port}"
        for each, port in dict.fromkeys(ports)
    ]
    nat = _with_rules(prepared.ruleset, "nat", _PREROUTING, 0, translations)
    forward = _with_rules(prepared.ruleset, "filter", FORWARD, *_accept(prepared.ruleset))
    around = replace(prepared.surroundings, interfaces=(*prepared.surroundings.interfaces, _NETWORK))
    changed = compile_chains(Ruleset({"nat": nat, "filter": forward}), around, prepared.family)
    places = (("nat", _PREROUTING), ("filter", FORWARD))
    chains = {**prepared.chains, **{place: changed[place] for place in places}}
    return replace(prepared, surroundings=around, chains=chains)


def _accept(ruleset: Ruleset) -> tuple[int, list[str]]:
    """Return where Docker would accept the packets: behind its call of DOCKER-USER."""
    accept, call = f"-A {FORWARD} -o {_BRIDGE} -j ACCEPT", f"-A {FORWARD} -j {DOCKER_USER}"
    forward = ruleset.chain("filter", FORWARD)
    for place, rule in enumerate(forward.rules if forward else (), start=1):
        if rule.text == call:
            return place, [accept]
    if ruleset.chain("filter", DOCKER) is None and ruleset.chain("filter", DOCKER_USER) is not None:
        # Docker does not run, and calls it when it starts.
        return 0, [call, accept]
    return 0, [accept]


def _with_rules(ruleset: Ruleset, table: str, name: str, place: int, lines: Sequence[str]) -> Table:
    """Return a table with more rules in one chain, and with nothing in the others."""
    found = ruleset.tables.get(table)
    known = found.chains if found else {}
    chain = known.get(name) or Chain(name, "ACCEPT", None, (), builtin=True)
    added = tuple(Rule(table, name, None, line, 0) for line in lines)
    rules = (*chain.rules[:place], *added, *chain.rules[place:])
    empty = {each.name: replace(each, rules=()) for each in known.values()}
    return Table(table, {**empty, name: replace(chain, rules=rules)})
