"""Rules, expectations and networks in words. Nothing parses these words."""

from __future__ import annotations

import ipaddress

from dockerfw.document.fields import Problems, read_source
from dockerfw.document.values import DocumentRule, Expectation
from dockerfw.iptables.errors import DocumentError
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

_PLACES = {"host": "to the host", "container": "to containers", "both": "to the host and containers"}


def describe_count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 rule`, `2 rules`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe_rule(rule: DocumentRule) -> str:
    """Return a rule in one line: `22, 8000-8010/tcp from anywhere to the host and containers`."""
    text = f"{describe_what(rule)} {describe_source(rule.source)} {_PLACES[rule.scope]}"
    if rule.ports and rule.port_kind == "container":
        text += ", ports inside the container"
    return text if rule.enabled else f"{text} (disabled)"


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
    return f"from {source.removesuffix('/128' if ':' in source else '/32')}"


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
