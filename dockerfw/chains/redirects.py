"""Rules of others that send packets for a port of the host to another port or address before INPUT sees them.

These are REDIRECT and DNAT rules that PREROUTING of the nat table reaches. Those in Docker's chains publish
ports and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from dockerfw.chains import sentences
from dockerfw.chains.owners import called_rules
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.matches import Match, Target
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.iptables.protocols import protocol_name
from dockerfw.iptables.target_extensions import TARGETS
from dockerfw.simulation.match_readers import normalise_options, normalise_rule
from dockerfw.simulation.packet import Address

# Ranges with more ports than this are no list of services.
_MOST_PORTS = 64
_DESTINATION = re.compile(r"\[?([0-9a-fA-F.:]*?)\]?(?::([0-9]{1,5})(?:-[0-9/-]+)?)?")


@dataclass(frozen=True, slots=True)
class Redirect:
    """A port that a rule sends elsewhere: `to_address` None is the host itself, `to_port` None the same port.

    `address` and `interface` are those that the rule asks for, None and empty if it asks for none.
    """

    family: Family
    protocol: str
    port: int
    address: Address | None
    interface: str
    to_address: Address | None
    to_port: int | None
    rule: Rule


def find_redirects(live: Ruleset, family: Family) -> tuple[Redirect, ...]:
    """Return the ports that rules outside Docker's chains redirect, in the order of the rules."""
    return tuple(
        found for rule in called_rules(live, "nat", "PREROUTING") for found in _redirects(rule, family)
    )


def find_published(live: Ruleset, family: Family) -> tuple[Redirect, ...]:
    """Return the ports that any rule forwards to another address, Docker's among them."""
    table = live.tables.get("nat")
    rules = (rule for chain in (table.chains.values() if table else ()) for rule in chain.rules)
    found = (each for rule in rules for each in _redirects(rule, family))
    return tuple(each for each in found if each.to_address is not None)


def redirect_warnings(document: Document, family: Family, live: Ruleset) -> Iterator[PlanWarning]:
    """Warn about rules for the host whose port the kernel changes before it compares it."""
    rules = [rule for rule in document.rules if rule.enabled and rule.scope == "host" and rule.ports]
    for each in find_redirects(live, family) if rules else ():
        if any(_names(rule, each, each.port) for rule in rules):
            message = sentences.port_redirected(family, _dialled(each), _arrives(each), each.rule.text)
            yield PlanWarning("port-redirected", message, family)
        inner = each.to_port if each.to_address is None else None
        if inner is not None and any(_names(rule, each, inner) for rule in rules):
            message = sentences.port_opens_another(family, _dialled(each), inner, each.rule.text)
            yield PlanWarning("port-opens-another", message, family)


def _redirects(rule: Rule, family: Family) -> Iterator[Redirect]:
    matches, target = normalise_rule(rule, family)
    destination = _destination(target, family) if target else None
    if destination is None:
        return
    options = _options(matches)
    number = options.get("-p", "")
    ports = options.get("--dport") or options.get("--dports") or ""
    for port in _single_ports(ports):
        to_address, to_port = destination
        if (to_address, to_port) == (None, port) or not number.isdigit():
            continue
        yield Redirect(
            family=family,
            protocol=protocol_name(int(number)),
            port=port,
            address=_address(options.get("-d", "").removesuffix("/32" if family == 4 else "/128")),
            interface=options.get("-i", "") if not options.get("-i", "").endswith("+") else "",
            to_address=to_address,
            to_port=to_port,
            rule=rule,
        )


def _options(matches: tuple[Match, ...]) -> dict[str, str]:
    return {
        option.name: option.values[0]
        for match in matches
        for option in match.options
        if option.values and not option.negated
    }


def _destination(target: Target, family: Family) -> tuple[Address | None, int | None] | None:
    """Return where a target sends packets to, None if it sends them nowhere else or to several places."""
    known = TARGETS.get(target.name)
    options = normalise_options(target.options, known, family) if known else ()
    values = {option.name: option.values[0] for option in options if option.values}
    if target.name == "REDIRECT":
        port = values.get("--to-ports", "")
        return (None, int(port)) if port.isdigit() else None
    found = _DESTINATION.fullmatch(values.get("--to-destination", ""))
    if target.name != "DNAT" or found is None:
        return None
    to_address = _address(found[1])
    if to_address is None and found[1]:
        return None
    return to_address, int(found[2]) if found[2] else None


def _single_ports(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition(":")
        if first.isdigit() and (last or first).isdigit() and int(last or first) - int(first) < _MOST_PORTS:
            yield from range(int(first), int(last or first) + 1)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _names(rule: DocumentRule, redirect: Redirect, port: int) -> bool:
    return (
        redirect.family in rule.families and rule.protocol == redirect.protocol and includes_port(rule, port)
    )


def _dialled(redirect: Redirect) -> str:
    return f"{redirect.port}/{redirect.protocol}"


def _arrives(redirect: Redirect) -> str:
    port = f"port {redirect.to_port or redirect.port}"
    return port if redirect.to_address is None else f"{port} of {redirect.to_address}"
