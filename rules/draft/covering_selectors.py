"""Read which rules of a draft are covered by another rule."""

from __future__ import annotations

from collections.abc import Mapping

from dockerfw.document.coverage import covers, find_covered_rules, first_cover
from dockerfw.document.document import DocumentRule
from rules.draft.draft_selectors import draft_document
from rules.models import Host
from rules.seen.memory import Memory

_known: Memory[Mapping[str, DocumentRule]] = Memory(4)


def covering_rules(host: Host) -> Mapping[str, DocumentRule]:
    """Return the rule that covers each covered rule, by the id of the covered one."""
    # The time of creation distinguishes hosts of recreated databases, which reuse keys.
    return _known.get_or_compute((host.pk, host.created_at, host.draft_version), lambda: _read(host))


def covering_rule(host: Host, rule: DocumentRule) -> DocumentRule | None:
    """Return the rule that covers one enabled rule of the draft, without comparing all others."""
    others = [other for other in draft_document(host).rules if other.id != rule.id]
    wide = first_cover(others, rule) if rule.enabled else None
    return wide if wide is not None and not covers(rule, wide) else None


def _read(host: Host) -> Mapping[str, DocumentRule]:
    document = draft_document(host)
    by_id = {rule.id: rule for rule in document.rules}
    return {key: by_id[other] for key, other in find_covered_rules(document)}
