"""Random documents of ours, of rules by address, by list and by the name of a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dockerfw.document.document import FORMAT_2
from tests.differential.pools import NETWORKS, PORTS, PUBLISHED, STRANGERS, Dice, addresses
from tests.differential.world import CONTAINER_ADDRESSES, HOST_ADDRESSES
from tests.rig.namespace import FAMILIES, Family

GROUPS: Final = ("office", "partners", "badguys", "nordic")
"""The groups that a document can have."""

LISTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"kind": "feed", "url": "https://lists.example.org/scanners.txt"},
    {"kind": "feed", "url": "https://lists.example.org/partners.txt"},
    {"kind": "names", "names": ["home.example.org", "office.example.org"]},
    {"kind": "countries", "countries": ["NO", "SE"]},
)
"""Definitions of groups that are filled at run time. Two groups with the same one share its sets."""

SELECTORS: Final = (
    *("web", "web", "other", "plain", "shop", "shop", "vault", "gone"),
    *("mail/relay", "store/web", "store/db", "label:tier=front", "label:tier=back", "label:tier"),
)
"""The names, services and labels of the world's containers, and one of none."""

TIMES: Final[tuple[dict[str, str], ...]] = (
    {"starts": "2021-01-01T12:00:00Z"},
    {"expires": "2037-12-31T12:00:00Z"},
    {"starts": "2021-01-01T12:00:00Z", "expires": "2037-12-31T12:00:00Z"},
    {"expires": "2021-01-01T12:00:00Z"},
    {"starts": "2037-12-31T12:00:00Z"},
)
"""Until 2037 the first three are now, the fourth is over and the last is to come."""

_INSIDE: Final = (53, 80, 81, 5432, 9100, 9101)


def make_document(dice: Dice) -> Mapping[str, Any]:
    """Return a dockerfw/2 document as a JSON object; one in five has enough rules for dispatch chains."""
    external = dice.one((["ens33"], ["ens33"], ["ens33", "ens34"], ["ens+"], ["ens34"], []))
    trusted = dice.one((["lo"], ["lo"], ["lo", "docker0"], ["lo", "br-+"], [], ["lo", "ens34"]))
    if "ens34" in trusted and external in (["ens33", "ens34"], ["ens+"], ["ens34"]):
        trusted = ["lo"]
    groups = {name: _group(dice) for name in dice.some(GROUPS, len(GROUPS))}
    count = dice.number(17, 40) if dice.chance(0.2) else dice.number(0, 8)
    return {
        "format": FORMAT_2,
        "settings": {
            "external_interfaces": external,
            "trusted_interfaces": trusted,
            "refuse": dice.one(("reject", "drop")),
            "icmp": dice.one(("accept", "refuse")),
            "containers_reach_host": dice.one(("by-rules", "allow")),
        },
        "groups": groups,
        "rules": [_rule(dice, tuple(groups), external) for _ in range(count)],
    }


def _group(dice: Dice) -> Mapping[str, Any]:
    """Return a list, or a static group of both families with a few networks or with enough for a set."""
    if dice.chance(0.5):
        return dice.one(LISTS)
    entries = [
        network
        for family in FAMILIES
        for network in dice.some((*NETWORKS[family], *addresses(family)), dice.one((1, 3, 12)))
    ]
    return {"kind": "static", "entries": entries, "comment": ""}


def _rule(dice: Dice, groups: tuple[str, ...], external: list[str]) -> dict[str, Any]:
    family = dice.one(FAMILIES)
    sources = _sources(dice, family, groups)
    rule = _by_name(dice) if dice.chance(0.35) else _by_address(dice, family)
    if rule["to"]:
        # Sources of the other family reach no such destination.
        sources = [each for each in sources if each[0] == "@" or (":" in each) == (family == 6)]
    rule |= {"sources": sources, "comment": "", "enabled": dice.chance(0.95)}
    narrowed = bool(sources or rule["to"] or rule["ports"] not in ([], ["all"]))
    if dice.chance(0.15) and narrowed and "container" not in rule:
        rule["action"] = "block"
    elif dice.chance(0.15):
        # No ruleset gets as many packets, and a table may last longer than its rules.
        rule["limit"] = dice.one(("1000/second", "2000/minute", "5000/hour"))
    if dice.chance(0.2):
        rule |= dice.one(TIMES)
    if dice.chance(0.15) and (rule["scope"] == "host" or external):
        names = (*external, "ens33", "ens34", "docker0", "br-+") if rule["scope"] == "host" else external
        rule["interface"] = dice.one(names)
    return rule


def _by_name(dice: Dice) -> dict[str, Any]:
    """Return what a rule for containers by name opens: published ports, or ports inside."""
    inner = dice.chance(0.25)
    ports = [str(port) for port in dice.some(_INSIDE if inner else (*PUBLISHED, *PUBLISHED, *PORTS), 4)]
    return {
        "scope": "container",
        "container": dice.one(SELECTORS),
        "to": "",
        "protocol": dice.one(("tcp", "tcp", "tcp", "udp", "sctp")),
        "ports": [*ports, *dice.one(([], [], ["8000-8100"], ["1-65535"]))],
        "port_kind": "container" if inner else "published",
    }


def _by_address(dice: Dice, family: Family) -> dict[str, Any]:
    """Return what a rule opens or blocks on the host, in all containers or at a destination."""
    protocol = dice.one(("tcp", "tcp", "tcp", "udp", "any", "icmp", "sctp", "gre"))
    ports: list[str] = []
    if protocol in ("tcp", "udp", "sctp") and dice.chance(0.85):
        ports = [str(port) for port in dice.some(PORTS, 4)]
        ports += dice.one(([], [], ["8000-8100"], ["1-1023", "9100-9101"]))
    scope = dice.one(("host", "container", "both", "both", "forwarded"))
    to = ""
    if scope == "forwarded":
        to = dice.one((*NETWORKS[family], *CONTAINER_ADDRESSES[family], *STRANGERS[family]))
    elif scope == "host" and dice.chance(0.15):
        to = dice.one(HOST_ADDRESSES[family])
    inner = bool(ports) and scope != "host" and dice.chance(0.2)
    return {
        "scope": scope,
        "to": to,
        "protocol": protocol,
        "ports": ports or (["all"] if protocol in ("tcp", "udp", "sctp") else []),
        "port_kind": "container" if inner else "published",
    }


def _sources(dice: Dice, family: Family, groups: tuple[str, ...]) -> list[str]:
    pool = (*NETWORKS[family], *addresses(family))
    return dice.one(
        (
            [],
            [],
            [dice.one(pool)],
            [f"@{dice.one(groups)}"],
            [*(f"@{name}" for name in dice.some(groups, 3)), dice.one(pool)],
            dice.some(pool, 10),
        )
    )
