"""Read which rules of a draft are covered by another rule, or left without effect by a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dockerfw.document.coverage import (
    covers,
    expanded,
    find_covered_rules,
    find_hidden_rules,
    first_cover,
)
from dockerfw.document.document import Document, DocumentRule
from rules.draft.draft_selectors import draft_document
from rules.models import Host
from rules.seen.memory import Memory

_known: Memory[Mapping[str, DocumentRule]] = Memory(4)
_hidden: Memory[Mapping[str, DocumentRule]] = Memory(4)


def covering_rules(host: Host) -> Mapping[str, DocumentRule]:
    """Return the rule that covers each covered rule, by the id of the covered one."""
    # The time of creation distinguishes hosts of recreated databases, which reuse keys.
    return _known.get_or_compute((host.pk, host.created_at, host.draft_version), lambda: _read(host))


def covering_rule(host: Host, rule: DocumentRule) -> DocumentRule | None:
    """Return the rule that covers one enabled rule of the draft, without comparing all others."""
    document = draft_document(host)
    same = (other for other in document.rules if other.id != rule.id and other.action == rule.action)
    narrow = next(iter(expanded((rule,), document.groups)), None)
    if narrow is None or not rule.enabled:
        return None
    wide = first_cover(expanded(same, document.groups), narrow)
    # The rule with its groups by name, as the page shows it.
    return _named(document, wide.id) if wide is not None and not covers(narrow, wide) else None


def hidden_rules(host: Host) -> Mapping[str, DocumentRule]:
    """Return the block for each allowance of the draft that has no effect because of it."""
    return _hidden.get_or_compute((host.pk, host.created_at, host.draft_version), lambda: _read_hidden(host))


def hidden_with(host: Host, rule: DocumentRule) -> Mapping[str, DocumentRule]:
    """Return the same for the draft with one rule as it is typed."""
    document = draft_document(host)
    rules = [other for other in document.rules if other.id != rule.id]
    if rule.action == "allow":
        rules = [other for other in rules if other.action == "block"]
    by_id = {each.id: each for each in (*rules, rule)}
    typed = replace(document, rules=(*rules, rule))
    return {key: by_id[block] for key, block in find_hidden_rules(typed)}


def _named(document: Document, key: str) -> DocumentRule:
    return next(rule for rule in document.rules if rule.id == key)


def _read_hidden(host: Host) -> Mapping[str, DocumentRule]:
    document = draft_document(host)
    by_id = {rule.id: rule for rule in document.rules}
    return {key: by_id[block] for key, block in find_hidden_rules(document)}


def _read(host: Host) -> Mapping[str, DocumentRule]:
    document = draft_document(host)
    by_id = {rule.id: rule for rule in document.rules}
    return {key: by_id[other] for key, other in find_covered_rules(document)}
