"""Saves as bytes, for tests that compare them with the output of iptables-save."""

from __future__ import annotations

from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import print_save


def print_save_bytes(ruleset: Ruleset) -> bytes:
    """Return a ruleset as iptables-save prints it, with bytes that are not UTF-8 unchanged."""
    return print_save(ruleset).encode("utf-8", "surrogateescape")
