"""Read which open sessions a document no longer allows, in words.

Loading rules does not end them: established sessions always pass. The counts are those of the last snapshot.
The host finds the sessions that Keep ends anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from dockerfw.chains.loaded_documents import read_loaded_documents
from dockerfw.document.coverage import first_cover
from dockerfw.document.diff import DocumentDiff
from dockerfw.document.document import Document, DocumentRule
from dockerfw.document.words import describe_count, describe_rule
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family
from dockerfw.reach.inbound import InboundSession, NewlyRefused, rule_allows
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

NAMED = 10
# Comparing thousands of rules takes long, and one removed rule is enough.
LOOKED_AT = 200
NO_CONNTRACK = (
    "Cannot tell whether sessions that the removed rules allowed stay open: conntrack is not installed on the"
    " host, or does not work."
)
MORE = "The host has more sessions than are counted here."

_documents: Memory[Mapping[Family, Document]] = Memory(4)


@dataclass(frozen=True, slots=True)
class LostSessions:
    """The open sessions that are no longer allowed, a sentence per rule, and if Keep can end them."""

    count: int = 0
    sentences: tuple[str, ...] = ()
    can_end: bool = False


def lost_sessions(view: SnapshotView | None, document: Document, diff: DocumentDiff) -> LostSessions:
    """Return the sessions that stay open although `document`, reached by `diff`, does not allow them."""
    if view is None:
        return LostSessions()
    seen = view.snapshot.sessions
    if seen is None:
        return LostSessions(sentences=(NO_CONNTRACK,)) if _removes_access(diff, document) else LostSessions()
    try:
        before = _documents.get_or_compute(view.snapshot.sha256, lambda: read_loaded_documents(view.rulesets))
    except NetfilterError:
        # Our chains hold a manual change that no document can express, so the allowed sessions are unknown.
        return LostSessions()
    loss = NewlyRefused(before, document)
    counts: Counter[DocumentRule | None] = Counter()
    for group in seen.groups:
        if loss.includes(group.inbound):
            counts[_rule_of(group.inbound, before[group.inbound.family], diff)] += group.count
    sentences = [_sentence(rule, count) for rule, count in counts.most_common(NAMED)]
    if len(counts) > NAMED:
        rest = sum(count for _, count in counts.most_common()[NAMED:])
        sentences.append(f"{describe_count(rest, 'session')} of other rules {_stay(rest)} open.")
    more = not seen.whole and _removes_access(diff, document)
    if more:
        sentences.append(MORE)
    return LostSessions(counts.total(), tuple(sentences), can_end=bool(counts) or more)


def _rule_of(session: InboundSession, before: Document, diff: DocumentDiff) -> DocumentRule | None:
    """Return the rule that allowed a session, as the admins wrote it, None for the ICMP setting."""
    rule = next((rule for rule in before.rules if rule_allows(rule, session)), None)
    if rule is None:
        return None
    written = (*diff.removed, *(old for old, _ in diff.changed))
    return next((known for known in written if known.id == rule.id), rule)


def _sentence(rule: DocumentRule | None, count: int) -> str:
    sessions = describe_count(count, "established session")
    if rule is None:
        return f"{sessions} of ICMP {_stay(count)} open."
    comment = f" ({rule.comment})" if rule.comment else ""
    return f"{sessions} of {describe_rule(rule)}{comment} {_stay(count)} open."


def _stay(count: int) -> str:
    return "stays" if count == 1 else "stay"


def _removes_access(diff: DocumentDiff, document: Document) -> bool:
    """Return True if a rule was removed that no other rule covers."""
    gone = (rule for rule in (*diff.removed, *(old for old, _ in diff.changed)) if rule.enabled)
    return any(first_cover(document.rules, rule) is None for rule in islice(gone, LOOKED_AT))
