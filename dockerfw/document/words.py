"""Rules, expectations and networks in words. Nothing parses these words."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from dockerfw.document.fields import Problems, read_source
from dockerfw.document.values import DocumentRule, Expectation
from dockerfw.iptables.errors import DocumentError
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

_MOST_SOURCES = 4
_PLACES = {"host": "to the host", "container": "to containers", "both": "to the host and containers"}


def describe_count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 rule`, `2 rules`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def is_or_are(number: int) -> str:
    """Return the verb after a number of things."""
    return "is" if number == 1 else "are"


def join_words(words: Sequence[str], *, most: int | None = None, word: str = "and") -> str:
    """Return `a`, `a and b`, `a, b and c`; of more than `most` words `a, b and 7 more`."""
    shown = list(words[:most])
    if len(words) > len(shown):
        shown.append(f"{len(words) - len(shown)} more")
    return f" {word} ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def describe_rule(rule: DocumentRule) -> str:
    """Return a rule in one line: `22, 8000-8010/tcp from anywhere to the host and containers`.

    That of a block begins with `block`.
    """
    verb = "block " if rule.action == "block" else ""
    text = f"{verb}{describe_what(rule)} {describe_sources(rule.sources)} {describe_place(rule)}"
    if rule.ports and rule.port_kind == "container":
        inside = rule.scope != "forwarded"
        text += ", ports inside the container" if inside else ", ports at the destination"
    text = ", ".join([text, *describe_conditions(rule)])
    return text if rule.enabled else f"{text} (disabled)"


def describe_place(rule: DocumentRule) -> str:
    """Return where a rule's packets go: `to the host`, `to container shop/db`, `to 10.0.0.0/8, forwarded`."""
    if rule.container:
        return f"to {describe_container(rule.container)}"
    if rule.scope == "forwarded":
        return f"to {describe_network(rule.to)}, forwarded"
    place = _PLACES[rule.scope]
    return f"{place} at {describe_network(rule.to)}" if rule.to else place


def describe_container(selector: str) -> str:
    """Return which containers a rule names: `container shop/db`, `containers labelled team=shop`."""
    label = selector.removeprefix("label:")
    return f"containers labelled {label}" if label != selector else f"container {selector}"


def describe_conditions(rule: DocumentRule) -> list[str]:
    """Return what else has to hold: `on wg0`, `at most 6 a minute of each source`, `until …`."""
    found = [f"on {rule.interface}"] if rule.interface else []
    if rule.limit:
        found.append(f"at most {describe_limit(rule.limit)} of each source")
    if rule.starts:
        found.append(f"from {describe_time(rule.starts)}")
    if rule.expires:
        found.append(f"until {describe_time(rule.expires)}")
    return found


def describe_limit(limit: str) -> str:
    """Return a limit as people say it: `6 a minute`."""
    number, _, unit = limit.partition("/")
    return f"{number} {'an' if unit == 'hour' else 'a'} {unit}"


def describe_time(text: str) -> str:
    """Return a canonical time as people read it: `2027-01-31 18:00 UTC`."""
    return f"{text[:10]} {text[11:16] if text[17:19] == '00' else text[11:19]} UTC"


def describe_sources(sources: Sequence[str]) -> str:
    """Return where a rule's packets come from: `from anywhere`, `from 192.0.2.7, @office and 3 more`."""
    if len(sources) < 2:
        return describe_source(sources[0] if sources else "any")
    return f"from {join_words(list(map(describe_network, sources)), most=_MOST_SOURCES)}"


def describe_what(rule: DocumentRule) -> str:
    """Return what a rule allows: `443/tcp`, `everything`, `all of udp`, `icmp`."""
    if rule.ports:
        return f"{', '.join(rule.ports)}/{rule.protocol}"
    if rule.protocol == "any":
        return "everything"
    return (
        f"all of {rule.protocol}" if rule.protocol in PROTOCOLS_WITH_PORTS else _protocol_words(rule.protocol)
    )


def describe_expectation(expectation: Expectation) -> str:
    """Return an expectation as a sentence: `5432/tcp of container db from anywhere is refused`."""
    verb = "passes" if expectation.passes else "is refused"
    return f"{describe_service(expectation)} {describe_source(expectation.source)} {verb}"


def describe_service(expectation: Expectation) -> str:
    """Return what an expectation is about: `22/tcp of the host`, `icmp of container web`."""
    protocol = expectation.protocol
    what = f"{expectation.port}/{protocol}" if expectation.port else _protocol_words(protocol)
    if expectation.to == "host":
        return f"{what} of the host"
    container = expectation.container
    return f"{what} of container {container}" if container else f"{what} of containers"


def _protocol_words(protocol: str) -> str:
    return f"IP protocol {protocol}" if protocol.isdigit() else protocol


def describe_source(source: str) -> str:
    """Return where a rule's packets come from: `from anywhere`, `from 192.0.2.7`, `from 192.0.2.0/24`."""
    if source == "any":
        return "from anywhere"
    if source in ("0.0.0.0/0", "::/0"):
        return f"from anywhere by {'IPv6' if ':' in source else 'IPv4'}"
    return f"from {describe_network(source)}"


def describe_network(network: str) -> str:
    """Return a network as people write it, without the prefix length of a single address."""
    return network.removesuffix("/128" if ":" in network else "/32")


def cidr_echo(source: str) -> str:
    """Return what a source covers: `256 addresses, 10.9.9.0 to 10.9.9.255`. Raises DocumentError."""
    problems = Problems()
    canonical = read_source(source, "source", problems)
    if canonical is None:
        raise DocumentError(tuple(problems.errors))
    if canonical == "any":
        return "Every address, IPv4 and IPv6"
    network = ipaddress.ip_network(canonical)
    if network.num_addresses == 1:
        return f"1 address, {network.network_address}"
    text = f"{_addresses(network)} addresses, {network[0]} to {network[-1]}"
    return f"{text} ({canonical})" if problems.notes else text


def _addresses(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    bits = network.max_prefixlen - network.prefixlen
    return f"{network.num_addresses:,}" if bits <= 32 else f"2^{bits}"
