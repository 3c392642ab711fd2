"""Which rules count at a moment: some have not started, and some have ended.

Moments are canonical times of UTC such as `2027-01-31T18:00:00Z`, which sort as texts. The kernel takes the
second of each end with it (xt_time).
"""

from __future__ import annotations

from dataclasses import replace

from dockerfw.document.values import Document, DocumentRule

_SECONDS = len("2027-01-31T18:00:00")


def to_second(time: str) -> str:
    """Return a time of UTC as the messages write it (`2027-01-31T18:00:00.123456Z`) without its fraction."""
    return f"{time[:_SECONDS]}Z"


def applies_at(rule: DocumentRule, moment: str) -> bool:
    """Return True if the kernel applies the rule to connections that begin at a moment."""
    return (not rule.starts or rule.starts <= moment) and (not rule.expires or moment <= rule.expires)


def ended_rules(document: Document, after: str, moment: str) -> tuple[DocumentRule, ...]:
    """Return the enabled allowances that counted at `after` or later, and no longer do."""
    return tuple(
        rule
        for rule in document.rules
        if rule.enabled and rule.action == "allow" and rule.expires and after <= rule.expires < moment
    )


def document_at(document: Document, moment: str, *, but: tuple[DocumentRule, ...] = ()) -> Document:
    """Return the document with only the rules that count at a moment, and without their times.

    The rules in `but` count whenever they are.
    """
    kept = {rule.id for rule in but}
    rules = tuple(
        replace(rule, starts="", expires="")
        for rule in document.rules
        if rule.id in kept or applies_at(rule, moment)
    )
    return replace(document, rules=rules)
