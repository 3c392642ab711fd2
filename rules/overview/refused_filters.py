"""What a viewer wants to see of the refused packets: read from a page's address or from a command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from dockerfw.document.entries import read_network

PERIODS: Final[Mapping[str, tuple[str, timedelta]]] = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
}
GROUPS: Final = {
    "pair": "Source and port",
    "source": "Source",
    "port": "Port",
    "container": "Container",
    "none": "None",
}
REASONS: Final = {
    "no-rule": "no rule allows it",
    "sources": "allowed only from other sources",
    "limit": "over a limit",
    "time": "allowed only at another time",
    "elsewhere": "allowed only to another destination",
    "interface": "allowed only on another interface",
    "block": "blocked",
    "loopback": "to loopback addresses",
    "unknown": "unknown",
}

NOT_A_NETWORK: Final = "{text!r} is not an address or network. Use 203.0.113.7 or 203.0.113.0/24."
NOT_A_PORT: Final = "{text!r} is not a port. Use a number from 0 to 65535."
NOT_A_CHOICE: Final = "{text!r} is not a choice. Use {choices}."


@dataclass(frozen=True, slots=True)
class RefusedFilters:
    """What a viewer wants to see; empty fields take everything. `source` is a network, `reason` a kind."""

    since: str = "hour"
    source: str = ""
    port: int | None = None
    container: str = ""
    reason: str = ""
    query: str = ""
    group: str = "pair"


def read_filters(asked: Mapping[str, str]) -> tuple[RefusedFilters, dict[str, str]]:
    """Read filters from an address or a command line, with a sentence for each field that is not valid."""
    problems: dict[str, str] = {}
    filters = RefusedFilters(
        since=_choice(asked, "since", PERIODS, "hour", problems),
        container=asked.get("container", "").strip(),
        reason=_choice(asked, "reason", REASONS, "", problems),
        query=asked.get("q", "").strip(),
        group=_choice(asked, "group", GROUPS, "pair", problems),
    )
    source, port = asked.get("source", "").strip(), asked.get("port", "").strip()
    if source:
        network = read_network(source)
        if network is None:
            problems["source"] = NOT_A_NETWORK.format(text=source[:60])
        else:
            filters = replace(filters, source=str(network))
    if port:
        if port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535:
            filters = replace(filters, port=int(port))
        else:
            problems["port"] = NOT_A_PORT.format(text=port[:20])
    return filters, problems


def _choice(
    asked: Mapping[str, str], name: str, choices: Iterable[str], default: str, problems: dict[str, str]
) -> str:
    text = asked.get(name, "").strip()
    if text in choices:
        return text
    if text:
        problems[name] = NOT_A_CHOICE.format(text=text[:20], choices=", ".join(choices))
    return default
