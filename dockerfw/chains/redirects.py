"""Rules of others that send packets for a port of the host to another port or address before INPUT sees them.

These are REDIRECT and DNAT rules that PREROUTING of the nat table reaches. Those in Docker's chains publish
ports and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from dockerfw.chains import sentences
from dockerfw.chains.owners import called_rules
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.fields import port_range, port_text
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.matches import Match, Target
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS, protocol_name
from dockerfw.iptables.target_extensions import TARGETS
from dockerfw.simulation.match_readers import normalise_options, normalise_rule
from dockerfw.simulation.packet import Address
from dockerfw.simulation.ports import read_ranges
from dockerfw.simulation.surroundings import Surroundings

# Ranges with more ports than this are no list of services.
_MOST_PORTS = 64
_DESTINATION = re.compile(r"\[?([0-9a-fA-F.:]*?)\]?(?::([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/[0-9]+)?)?")
_TO_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Redirect:
    """A port that a rule sends elsewhere: `to_address` None is the host itself, `to_port` None the same port.

    `address` and `interface` are those that the rule asks for, None and empty if it asks for none. `to_host`
    is True if the packets stay on the host, None if it is unknown whether `to_address` is one of the host's.
    `last_port` and `to_last_port` end a range that begins with `port` and `to_port`.
    """

    family: Family
    protocol: str
    port: int
    address: Address | None
    interface: str
    to_address: Address | None
    to_port: int | None
    rule: Rule
    last_port: int
    to_last_port: int | None
    to_host: bool | None


def find_redirects(
    live: Ruleset, family: Family, own: Collection[Address] | None = None
) -> tuple[Redirect, ...]:
    """Return the ports that rules outside Docker's chains redirect, one by one, in the order of the rules.

    `own` are the host's addresses, None if they are unknown. Ranges of very many ports are left out, and
    ports that REDIRECT sends to several.
    """
    return tuple(
        one
        for found in _find_ranges(live, family, own)
        if found.to_last_port == found.to_port or found.to_address is not None
        for one in _one_by_one(found)
    )


def _find_ranges(live: Ruleset, family: Family, own: Collection[Address] | None) -> Iterator[Redirect]:
    for rule in called_rules(live, "nat", "PREROUTING"):
        for found in _redirects(rule, family):
            to = found.to_address
            if to is None or to.is_loopback:
                yield replace(found, to_host=True)
            else:
                yield replace(found, to_host=None if own is None else to in own)


def _one_by_one(found: Redirect) -> Iterator[Redirect]:
    if found.last_port - found.port < _MOST_PORTS:
        for port in range(found.port, found.last_port + 1):
            if (found.to_address, found.to_port) != (None, port):
                yield replace(found, port=port, last_port=port)


def find_wide_forwards(live: Ruleset, family: Family) -> tuple[Redirect, ...]:
    """Return the ranges of ports that rules forward elsewhere and that are too many for `find_redirects`."""
    return tuple(
        found
        for found in _find_ranges(live, family, None)
        if found.to_address is not None and found.last_port - found.port >= _MOST_PORTS
    )


def find_published(live: Ruleset, family: Family) -> tuple[Redirect, ...]:
    """Return the ports that any rule forwards to another address, Docker's among them."""
    table = live.tables.get("nat")
    rules = (rule for chain in (table.chains.values() if table else ()) for rule in chain.rules)
    found = (each for rule in rules for one in _redirects(rule, family) for each in _one_by_one(one))
    return tuple(each for each in found if each.to_address is not None)


def redirect_warnings(
    document: Document, family: Family, live: Ruleset, surroundings: Surroundings | None = None
) -> Iterator[PlanWarning]:
    """Warn about rules for the host whose port the kernel changes before it compares it.

    Without surroundings the host's addresses are unknown.
    """
    rules = [rule for rule in document.rules if rule.enabled and rule.scope == "host" and rule.ports]
    known = surroundings is not None and surroundings.known
    own = {each.ip for _, each in surroundings.addresses(family)} if surroundings and known else None
    for each in _find_ranges(live, family, own) if rules else ():
        moved = [port for port in _named(rules, each, each.port, each.last_port) if not _stays(each, port)]
        if moved:
            message = sentences.port_redirected(family, _dialled(each), _arrives(each), each.rule.text)
            yield PlanWarning("port-redirected", message, family)
        if each.to_port is None or each.to_host is False:
            continue
        opened = _named(rules, each, each.to_port, each.to_last_port or each.to_port)
        inner = next((port for port in opened if not each.port == each.last_port == port), None)
        if inner is not None:
            to = each.to_address if each.to_host is None else None
            message = sentences.port_opens_another(family, _dialled(each), inner, each.rule.text, to)
            yield PlanWarning("port-opens-another", message, family)


def _stays(redirect: Redirect, port: int) -> bool:
    """Return True if a port is sent to itself on the host."""
    only = redirect.to_last_port == redirect.to_port
    return bool(redirect.to_host) and (redirect.to_port is None or (only and redirect.to_port == port))


def _redirects(rule: Rule, family: Family) -> Iterator[Redirect]:
    matches, target = normalise_rule(rule, family)
    destination = _destination(target, family) if target else None
    if destination is None:
        return
    options = _options(matches)
    number = options.get("-p", "")
    if number and not number.isdigit():
        return
    protocol = protocol_name(int(number)) if number else ""
    if protocol and protocol not in PROTOCOLS_WITH_PORTS:
        return
    to_address, to_port, to_last = destination
    for first, last in read_ranges(options.get("--dport") or options.get("--dports") or "0:65535") or ():
        yield Redirect(
            family=family,
            protocol=protocol,
            port=first,
            address=_address(options.get("-d", "").removesuffix("/32" if family == 4 else "/128")),
            interface=options.get("-i", "") if not options.get("-i", "").endswith("+") else "",
            to_address=to_address,
            to_port=to_port,
            rule=rule,
            last_port=last,
            to_last_port=to_last,
            to_host=None,
        )


def _options(matches: tuple[Match, ...]) -> dict[str, str]:
    return {
        option.name: option.values[0]
        for match in matches
        for option in match.options
        if option.values and not option.negated
    }


def _destination(target: Target, family: Family) -> tuple[Address | None, int | None, int | None] | None:
    """Return the address, first and last port of a target, None if it has none or more addresses."""
    known = TARGETS.get(target.name)
    options = normalise_options(target.options, known, family) if known else ()
    values = {option.name: option.values[0] for option in options if option.values}
    if target.name == "REDIRECT":
        ports = _TO_PORTS.fullmatch(values.get("--to-ports", ""))
        return (None, int(ports[1]), int(ports[2] or ports[1])) if ports else None
    found = _DESTINATION.fullmatch(values.get("--to-destination", ""))
    if target.name != "DNAT" or found is None:
        return None
    to_address = _address(found[1])
    if to_address is None and found[1]:
        return None
    to_port = int(found[2]) if found[2] else None
    return to_address, to_port, int(found[3]) if found[3] else to_port


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _named(rules: Iterable[DocumentRule], redirect: Redirect, first: int, last: int) -> Iterator[int]:
    """Yield a port of each rule for the redirected protocol that begins in a range or spans it."""
    for rule in rules:
        if redirect.family in rule.families and redirect.protocol in ("", rule.protocol):
            for start, end in map(port_range, rule.ports):
                if start <= last and end >= first:
                    yield max(start, first)


def _dialled(redirect: Redirect) -> str:
    if (redirect.port, redirect.last_port) in ((0, 65535), (1, 65535)):
        return f"every port of {redirect.protocol}" if redirect.protocol else "every port"
    return f"{port_text(redirect.port, redirect.last_port)}/{redirect.protocol}"


def _arrives(redirect: Redirect) -> str:
    first, last = redirect.to_port, redirect.to_last_port
    if first is None:
        several = redirect.port != redirect.last_port
        port = "the same port" if several else f"port {redirect.port}"
    else:
        port = f"port {first}" if first == last else f"the ports {first}-{last}"
    return port if redirect.to_address is None else f"{port} of {redirect.to_address}"
