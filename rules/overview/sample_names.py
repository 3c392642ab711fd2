"""The names of what is recorded over time, with their units, and the steps that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

MINUTE: Final = 60
QUARTER: Final = 900
DAY: Final = 86_400

KEPT: Final[Mapping[int, timedelta]] = {
    MINUTE: timedelta(days=2),
    QUARTER: timedelta(days=60),
    DAY: timedelta(days=3 * 365),
}
"""How long the samples of each step are kept."""

REFUSED: Final = "refused"
ACCEPTED: Final = "accepted"
OPEN_PORTS: Final = "open_ports"
UNKNOWN_PORTS: Final = "unknown_ports"
"""Ports of which it is not known whether anyone can reach them."""
UNPROTECTED: Final = "unprotected"
"""1 while dockerfw does not say that the host is protected, else 0."""
DRIFT: Final = "drift"
"""1 while the kernel differs from the confirmed revision, else 0."""
PENDING: Final = "pending"
CHECKS_FAILING: Final = "checks_failing"
CONNTRACK: Final = "conntrack"
CONNTRACK_MOST: Final = "conntrack_max"
SESSIONS: Final = "sessions"
RULES_COUNTED: Final = "rules_counted"
"""Recorded where the hits of all rules are known, so that a rule without a sample had none."""

# What is recorded and shown of one host: the rules with most hits, and the sets that change first.
MOST_RULES: Final = 200
MOST_SETS: Final = 100

SET_PREFIX: Final = "set:"
RULE_PREFIX: Final = "rule:"

_UNITS: Final[Mapping[str, str]] = {
    REFUSED: "packets/min",
    ACCEPTED: "connections/min",
    OPEN_PORTS: "ports",
    UNKNOWN_PORTS: "ports",
    UNPROTECTED: "1 if so",
    DRIFT: "1 if so",
    PENDING: "changes",
    CHECKS_FAILING: "checks",
    CONNTRACK: "connections",
    CONNTRACK_MOST: "connections",
    SESSIONS: "sessions",
    RULES_COUNTED: "rules",
}


def set_series(name: str) -> str:
    """Return the name of the series of an ipset's entries."""
    return f"{SET_PREFIX}{name}"


def rule_series(rule_id: str) -> str:
    """Return the name of the series of a rule's hits."""
    return f"{RULE_PREFIX}{rule_id}"


def unit_of(name: str) -> str:
    """Return the unit of a series, such as "packets/min". Raises KeyError for an unknown name."""
    if name.startswith(RULE_PREFIX):
        return "packets/min"
    return "entries" if name.startswith(SET_PREFIX) else _UNITS[name]


def is_count(name: str) -> bool:
    """Return True if a series counts what happens, and False if its number goes up and down."""
    return name in (REFUSED, ACCEPTED, RULES_COUNTED) or name.startswith(RULE_PREFIX)


def steps_of(name: str) -> tuple[int, ...]:
    """Return the steps that are recorded of a series, the shortest first.

    There may be many rules and sets, so they have no minutes.
    """
    many = name == RULES_COUNTED or name.startswith((RULE_PREFIX, SET_PREFIX))
    return (QUARTER, DAY) if many else (MINUTE, QUARTER, DAY)
