"""What a rule will do, in one sentence for the admin who writes it. Nothing parses it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dockerfw.document.rule_fields import group_of
from dockerfw.document.values import DocumentRule
from dockerfw.document.words import (
    describe_conditions,
    describe_container,
    describe_network,
    describe_what,
    join_words,
)

NO_SIZES: Final[Mapping[str, str]] = MappingProxyType({})
_MOST_SOURCES = 4
_PLACES = {
    "host": "of the host",
    "container": "of all containers",
    "both": "of the host and of all containers",
}


def explain_rule(rule: DocumentRule, sizes: Mapping[str, str] = NO_SIZES) -> str:
    """Return what a rule will do: `Anyone can reach 443/tcp of container shop/web, until …`.

    `sizes` says how much each group stands for, as in `@office (2 networks)`, by the group's name.
    """
    what = describe_what(rule)
    reach = ", ".join((f"{what} {_place(rule)}", *_conditions(rule)))
    if rule.action == "block":
        who = _sources(rule, "anyone", sizes)
        text = f"Blocks {who} from {reach}. A block beats every allowance"
    else:
        text = f"{_sources(rule, 'Anyone', sizes)} can reach {reach}"
    return f"{text}." if rule.enabled else f"Disabled, so it does nothing now. Enabled: {text}."


def _sources(rule: DocumentRule, anyone: str, sizes: Mapping[str, str]) -> str:
    if not rule.sources:
        return anyone
    if rule.sources in (("0.0.0.0/0",), ("::/0",)):
        return f"{anyone} by {'IPv6' if ':' in rule.sources[0] else 'IPv4'}"
    return join_words([_source(each, sizes) for each in rule.sources], most=_MOST_SOURCES)


def _source(source: str, sizes: Mapping[str, str]) -> str:
    size = sizes.get(group_of(source))
    return f"{source} ({size})" if size else describe_network(source)


def _place(rule: DocumentRule) -> str:
    if rule.container:
        return f"of {describe_container(rule.container)}"
    if rule.scope == "forwarded":
        return f"at {describe_network(rule.to)}, behind this host"
    place = _PLACES[rule.scope]
    return f"{place} at {describe_network(rule.to)}" if rule.to else place


def _conditions(rule: DocumentRule) -> list[str]:
    inside = (
        "by the port inside the container" if rule.scope != "forwarded" else "by the port at the destination"
    )
    first = [inside] if rule.ports and rule.port_kind == "container" else []
    return [*first, *describe_conditions(rule)]
