"""The words for why a packet was refused. Nothing parses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockerfw.document.rule_fields import group_of
from dockerfw.document.values import DocumentRule
from dockerfw.document.words import (
    describe_network,
    describe_sources,
    describe_time,
    join_words,
)
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

MOST_SOURCES: Final = 4
LOOPBACK: Final = "connections to loopback addresses are refused from other machines"
REVISION_UNKNOWN: Final = "unknown: the rules did not say which revision they are"
UNKNOWN_INTERFACE: Final = "unknown: the incoming interface is not known"
UNKNOWN_CONTAINERS: Final = "unknown: which containers ran then is not known"
UNKNOWN_SOURCE: Final = "unknown: only a part of the address is stored"
UNKNOWN_PORT: Final = "unknown: the packet shows no port"


def describe_refused(protocol: str, port: int | None) -> str:
    """Return what was dialled: `5432/tcp`, `gre`, `tcp without a port`, `IP protocol 99`."""
    if port is not None:
        return f"{port}/{protocol}"
    if protocol in PROTOCOLS_WITH_PORTS:
        return f"{protocol} without a port"
    return f"IP protocol {protocol}" if protocol.isdigit() else protocol


def revision_missing(number: int) -> str:
    """Say that a revision is not stored here."""
    return f"unknown: revision {number} is not known here"


def list_changed(name: str) -> str:
    """Say that a list had another version at that moment."""
    return f"unknown: what {name} stood for then is not known"


def no_rule(what: str) -> str:
    """Say that no rule opens a port."""
    return f"no rule allows {what}"


def over_the_limit(limit: str) -> str:
    """Say that a source opened too many connections."""
    number, _, unit = limit.partition("/")
    return f"over the limit of {number} {'an' if unit == 'hour' else 'a'} {unit}"


def ended_or_not_begun(what: str, rule: DocumentRule, moment: str) -> str:
    """Say that the time of a rule was over, or had not come."""
    if rule.starts and moment < rule.starts:
        return f"{what} is allowed only from {describe_time(rule.starts)} on"
    return f"{what} was allowed only until {describe_time(rule.expires)}"


def allowed_only(what: str, parts: Sequence[str]) -> str:
    """Say what a packet that a rule allows must have."""
    return f"{what} is allowed only {', '.join(parts)}"


def from_sources(rules: Sequence[DocumentRule]) -> str:
    """Return the sources of several rules together: `from @office and 192.0.2.7`."""
    sources = list(dict.fromkeys(source for rule in rules for source in rule.sources))
    if len(sources) < 2:
        return describe_sources(sources)
    return f"from {join_words(list(map(describe_network, sources)), most=MOST_SOURCES)}"


def on_interface(rule: DocumentRule) -> str:
    """Return the interface of a rule."""
    return f"on {rule.interface}"


def between_times(rule: DocumentRule) -> str:
    """Return the times of a rule."""
    starts = f"from {describe_time(rule.starts)} on" if rule.starts else ""
    ends = f"until {describe_time(rule.expires)}" if rule.expires else ""
    return " ".join(filter(None, (starts, ends)))


def blocked_by(sources: Sequence[str]) -> str:
    """Say which sources of a block include the packet's."""
    if not sources:
        return "blocked for every source"
    groups = [source for source in sources if group_of(source)]
    return f"blocked by {join_words(groups or list(map(describe_network, sources)), most=MOST_SOURCES)}"


def no_such_block(revision: int) -> str:
    """Say that a block is not in the revision that the kernel named."""
    return f"unknown: revision {revision} has no block that matches"


def allowed_now(revision: int) -> str:
    """Say that the revision would let the packet through."""
    return f"unknown: revision {revision} would allow it now"
