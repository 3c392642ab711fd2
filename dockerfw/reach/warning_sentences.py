"""Sentences that warn about the conditions of a rule."""

from __future__ import annotations

from collections.abc import Sequence

from dockerfw.document.words import join_words

_NAMED = 3


def expired(time: str, *, allowed: bool) -> str:
    """Warn that a rule is over; `allowed`: it was an allowance."""
    if not allowed:
        return f"Expired at {time}: the rule blocks nothing any more."
    return (
        f"Expired at {time}: the rule allows no new connection. Open connections end within about a minute,"
        " and continue where dockerfw cannot tell that this rule allowed them."
    )


def tight_limit(number: str, unit: str, least: int) -> str:
    """Warn that a limit on web pages is too small for one browser."""
    article = "an" if unit == "hour" else "a"
    return (
        f"One browser can open more than {number} connections {article} {unit} and would be refused. "
        f"Use at least {least}/minute for web pages."
    )


def empty_groups(names: Sequence[str], *, only: bool) -> str:
    """Warn that groups of a rule are empty; `only`: it has no other sources."""
    effect = " The rule has no other source, so it does nothing." if only else ""
    return f"{join_words(names, most=_NAMED)} {'is' if len(names) == 1 else 'are'} empty.{effect}"


def hidden(block: str) -> str:
    """Warn that a block leaves an allowance without effect."""
    return f"Has no effect: everything it allows is blocked by {block}."


def hides(rules: Sequence[str]) -> str:
    """Warn that a block leaves allowances without effect."""
    verb = "has" if len(rules) == 1 else "have"
    return f"Because of this block {join_words(rules, most=_NAMED)} {verb} no effect."
