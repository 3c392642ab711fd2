"""The formats of a document, and which of them a document needs.

A document is written in the oldest format that can say it. So the digest of a document without anything new
stays the same, and earlier releases read it.
"""

from __future__ import annotations

from typing import Final

from dockerfw.document.rule_fields import group_of
from dockerfw.document.values import Document, DocumentRule

FORMAT_1: Final = "dockerfw/1"
FORMAT_2: Final = "dockerfw/2"
FORMATS: Final = (FORMAT_1, FORMAT_2)


def needed_format(document: Document) -> str:
    """Return the oldest format that can say everything in a document."""
    settings = document.settings
    newer = settings.containers_reach_host != "by-rules" or not settings.log_refused or document.groups
    return FORMAT_2 if newer or any(map(_needs_format_2, document.rules)) else FORMAT_1


def _needs_format_2(rule: DocumentRule) -> bool:
    several = len(rule.sources) > 1 or any(map(group_of, rule.sources))
    matches = (rule.to, rule.container, rule.interface, rule.limit, rule.starts, rule.expires)
    return several or rule.action != "allow" or any(matches) or any((rule.owner, rule.ticket, rule.tags))
