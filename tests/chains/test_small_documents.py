"""The text of a small document is the one that releases before sets and dispatch wrote, byte for byte."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import pytest

from dockerfw.chains.render import render, render_restore
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES

PARTS = 20
IN_EACH = 20
# Written by the last release without sets and dispatch.
DIGESTS = (
    "ff6ed8eb8ad9e051",
    "11fb6fcf80fb0248",
    "bd9bb5f39662520b",
    "ca0d97b59398e488",
    "b544b3cf8c8c009c",
    "ab2c60a0d17e2ef4",
    "b1def634c7d0b368",
    "8c3bd180d4bb78ee",
    "d2097b0c64f9c599",
    "6f43321cbe5007c6",
    "cf91bbdb42d1243b",
    "a6d7eb6bb65d2ce6",
    "bbc7f812614263fc",
    "97d914aac04e306d",
    "a61de78483ba4c2c",
    "d0d71ca8265d1691",
    "ef72e73a5331f973",
    "7c12446ad9d11657",
    "91c635d63429ae73",
    "885f9e748b299569",
)


def _ports(dice: random.Random) -> list[str]:
    singles = [str(port) for port in dice.sample(range(1, 65536), dice.choice((1, 1, 1, 2, 3, 20)))]
    ranges = [
        f"{first}-{min(65535, first + dice.randrange(1, 2000))}"
        for first in dice.sample(range(1, 65000), dice.choice((0, 0, 0, 1, 9)))
    ]
    return singles + ranges


def _matches(dice: random.Random) -> dict[str, Any]:
    """Draw a rule without its sources; the documents are of dockerfw/1 but for `to`."""
    scope = dice.choice(("host", "container", "both", "forwarded"))
    protocol = dice.choice(("tcp", "tcp", "udp", "sctp", "dccp", "udplite", "icmp", "any", "gre", "200"))
    found: dict[str, Any] = {"scope": scope, "protocol": protocol}
    if protocol in ("tcp", "udp", "sctp", "dccp", "udplite"):
        found["ports"] = _ports(dice)
        if scope != "host" and dice.random() < 0.3:
            found["port_kind"] = "container"
    if scope == "forwarded":
        found["to"] = dice.choice(("192.168.122.0/24", "192.168.122.9", "2001:db8:5::/64"))
    return found


def _sources(dice: random.Random, to: str) -> list[list[str]]:
    """Draw at most four sources of one family, which may be equal or contain each other."""
    networks = {
        4: ("0.0.0.0/0", "192.0.2.7", "192.0.2.0/24", "10.0.0.0/8", "198.51.100.64/26"),
        6: ("::/0", "2001:db8::7", "2001:db8::/32", "fe80::/10"),
    }
    families = [6] if ":" in to else [4] if to else [4, 6]
    found = []
    for _ in range(dice.randrange(1, 5)):
        source = dice.choice(("", *networks[dice.choice(families)]))
        found.append([source] if source else [])
    return found


def small_documents(part: int) -> Iterator[Document]:
    """Yield documents of at most 16 groups of rules, each group with at most 4 sources."""
    dice = random.Random(part)
    for _ in range(IN_EACH):
        rules: list[dict[str, Any]] = []
        groups = {
            repr(found): found for found in (_matches(dice) for _ in range(dice.choice((0, 1, 3, 8, 16))))
        }
        for matches in groups.values():
            for sources in _sources(dice, matches.get("to", "")):
                enabled = dice.random() < 0.9
                rules.append({**matches, "id": f"r{len(rules):04}", "sources": sources, "enabled": enabled})
        settings = {
            "external_interfaces": dice.choice(([], ["ens33"], ["ens33", "wg0"])),
            "trusted_interfaces": dice.choice((["lo"], [], ["lo", "br-+"])),
            "refuse": dice.choice(("reject", "drop")),
            "icmp": dice.choice(("accept", "refuse")),
            "containers_reach_host": dice.choice(("by-rules", "allow")),
        }
        yield parse_document({"format": "dockerfw/2", "settings": settings, "rules": rules})


@pytest.mark.parametrize("part", range(PARTS))
def test_the_text_of_a_small_document_stays_as_it_was(part: int) -> None:
    digest = hashlib.sha256()
    for document in small_documents(part):
        for family in FAMILIES:
            digest.update(render_restore(document, family, revision=3).encode())
            assert not render(document, family).sets
    assert digest.hexdigest()[:16] == DIGESTS[part]
