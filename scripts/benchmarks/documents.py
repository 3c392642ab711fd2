"""Documents of any size for the measurements: the mix of rules that a busy host has."""

from __future__ import annotations

from dockerfw.document.document import parse_document
from dockerfw.document.values import Document

SIZES = (100, 1_000, 10_000)


def make_object(rules: int, *, note: str = "", first: int = 0) -> dict[str, object]:
    """Build a `dockerfw/1` document of this many rules; `note` changes one comment, and so the digest.

    Rules with other numbers, from `first` on, have other sources and ports.
    """
    return {
        "format": "dockerfw/1",
        "settings": {"external_interfaces": ["ens33"]},
        "rules": [_rule(first + number, note if number == 0 else "") for number in range(rules)],
    }


def make_document(rules: int, *, first: int = 0) -> Document:
    """Build the same document, validated."""
    return parse_document(make_object(rules, first=first))


def _rule(number: int, note: str) -> dict[str, object]:
    scope = ("both", "host", "container")[number % 3]
    rule: dict[str, object] = {
        "id": f"r{number:05d}",
        "scope": scope,
        "protocol": ("tcp", "tcp", "udp")[number % 3],
        "ports": [str(1024 + number % 60_000)],
        "comment": note or f"service {number}",
    }
    if number % 4:
        rule["source"] = f"10.{number // 65_536 % 256}.{number // 256 % 256}.{number % 256}/32"
    return rule
