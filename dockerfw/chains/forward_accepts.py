"""Rules of others that accept forwarded packets, such as libvirt's, read by their destination.

Docker's chains and dockerfw's are left out. redirects.py finds the rules that change a destination before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from dockerfw.chains.names import FORWARD
from dockerfw.chains.owners import called_rules, chain_owner
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS, protocol_name
from dockerfw.simulation.addresses import Network
from dockerfw.simulation.match_readers import normalise_rule
from dockerfw.simulation.ports import read_ranges

_PORT_OPTIONS = ("--dport", "--dports", "--ctorigdstport")


@dataclass(frozen=True, slots=True)
class ForwardAccept:
    """What one rule accepts; `network` None is any destination, `interface` empty any outgoing interface.

    `ports` are pairs of a protocol and its first and last port; without any, no port is named.
    """

    family: Family
    network: Network | None
    interface: str
    ports: tuple[tuple[str, tuple[int, int]], ...]


def find_forward_accepts(live: Ruleset, family: Family) -> tuple[ForwardAccept, ...]:
    """Return what the rules that FORWARD reaches accept of new connections, each once, in their order."""
    rules = (
        rule
        for rule in called_rules(live, "filter", FORWARD)
        if rule.target is not None and rule.target.name == "ACCEPT"
        if chain_owner("filter", rule.chain) != "dockerfw"
    )
    return tuple(dict.fromkeys(found for rule in rules if (found := _read(rule, family)) is not None))


def _read(rule: Rule, family: Family) -> ForwardAccept | None:
    """Return what a rule accepts, None for replies only."""
    matches, _ = normalise_rule(rule, family)
    options: dict[str, str] = {}
    for match in matches:
        for option in match.options:
            if option.values and not option.negated:
                options.setdefault(option.name, option.values[0])
    states = options.get("--ctstate") or options.get("--state")
    if states is not None and "NEW" not in states.split(","):
        return None
    interface = options.get("-o", "")
    return ForwardAccept(
        family=family,
        network=_network(options.get("-d", "")),
        interface="" if interface.endswith("+") else interface,
        ports=tuple(_ports(options)),
    )


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        # Without a destination, or with a mask that is no prefix.
        return None


def _ports(options: dict[str, str]) -> Iterator[tuple[str, tuple[int, int]]]:
    number = options.get("-p", "")
    protocol = protocol_name(int(number)) if number.isdigit() else ""
    if protocol not in PROTOCOLS_WITH_PORTS:
        return
    text = next((options[name] for name in _PORT_OPTIONS if name in options), "")
    yield from ((protocol, each) for each in read_ranges(text) or ())
