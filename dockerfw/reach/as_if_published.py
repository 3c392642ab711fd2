"""The rules as they would be if a container published ports that none publishes now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_interface
from typing import Final

from dockerfw.chains.names import DOCKER, DOCKER_USER, FILTERS_HOST, FORWARD, PROXY_SETS, own_chains
from dockerfw.iptables.model import Chain, Family, Rule, Ruleset, Table
from dockerfw.reach.docker_proxy import proxy_members
from dockerfw.reach.listening import DOCKER_PROXY, Listener
from dockerfw.simulation.chains import compile_chains, replace_chains
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface, Surroundings

_PREROUTING: Final = "PREROUTING"
_BRIDGE: Final = "dockerfw-any"
_ADDRESSES: Final = (ip_interface("100.127.255.1/30"), ip_interface("fdff:ffff:ffff:ffff::1/64"))
_NETWORK: Final = HostInterface(_BRIDGE, _ADDRESSES, True, kind="bridge")
_CONTAINER: Final = {4: "100.127.255.2", 6: "[fdff:ffff:ffff:ffff::2]"}


def publish(prepared: Prepared, ports: Iterable[tuple[str, int]]) -> Prepared:
    """Return the rules with a container on a network of its own that publishes these ports by protocol.

    docker-proxy holds them too. Where Docker translates no IPv6, it is docker-proxy that accepts the packets.
    """
    published = tuple(dict.fromkeys(ports))
    around = _with_docker_proxy(prepared.surroundings, prepared.family, published)
    ruleset, places = prepared.ruleset, [("filter", FILTERS_HOST)]
    tables = {"filter": _with_rules(ruleset, "filter", FILTERS_HOST, 0, ())}
    # The lines for docker-proxy may be in dispatch chains.
    proxied = {
        name: chain
        for name in own_chains(ruleset)
        if (chain := ruleset.chain("filter", name)) is not None
        and any(PROXY_SETS[prepared.family] in rule.text for rule in chain.rules)
    }
    tables["filter"] = Table("filter", {**tables["filter"].chains, **proxied})
    places += [("filter", name) for name in proxied if name != FILTERS_HOST]
    if prepared.family == 4 or ruleset.chain("nat", DOCKER) is not None:
        inside = _CONTAINER[prepared.family]
        translations = [
            f"-A {_PREROUTING} -p {each} -m {each} --dport {port} -j DNAT --to-destination {inside}:{port}"
            for each, port in published
        ]
        forward = _with_rules(ruleset, "filter", FORWARD, *_accept(ruleset)).chains
        host = tables["filter"].chains
        tables = {
            "nat": _with_rules(ruleset, "nat", _PREROUTING, 0, translations),
            "filter": Table("filter", {**host, FORWARD: forward[FORWARD]}),
        }
        places += [("nat", _PREROUTING), ("filter", FORWARD)]
        around = replace(around, interfaces=(*around.interfaces, _NETWORK))
    changed = compile_chains(Ruleset(tables), around, prepared.family)
    return replace(prepared, surroundings=around, chains=replace_chains(prepared.chains, changed, places))


def _with_docker_proxy(
    around: Surroundings, family: Family, ports: Sequence[tuple[str, int]]
) -> Surroundings:
    """Return the surroundings with these ports in the set of docker-proxy's sockets, if that is known."""
    found = around.sets.get(PROXY_SETS[family])
    if found is None or found.members is None:
        return around
    sockets = [Listener(family, each, None, port, process=DOCKER_PROXY) for each, port in ports]
    members = tuple(dict.fromkeys((*found.members, *proxy_members(sockets, family))))
    return replace(around, sets={**around.sets, found.name: replace(found, members=members)})


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
