"""Read which open sessions a document takes the allowance from, in words.

The change of rules does not end them: established sessions always pass. What is counted is what the root
worker saw last; what Keep ends is found anew on the host.
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
from dockerfw.document.words import counted, describe_rule
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family
from dockerfw.reach.inbound import InboundSession, NewlyRefused, rule_allows
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

NAMED = 10
# Holding thousands of rules against thousands takes long, and one that is taken away is enough.
LOOKED_AT = 200
NO_CONNTRACK = (
    "Whether sessions stay open that the removed rules had let in cannot be told: conntrack is not installed"
    " on the host, or does not work there."
)
MORE = "There are more sessions on the host than are counted here."

_documents: Memory[Mapping[Family, Document]] = Memory(4)


@dataclass(frozen=True, slots=True)
class LostSessions:
    """How many open sessions lose their allowance, a sentence for each rule, and whether they can end."""

    count: int = 0
    sentences: tuple[str, ...] = ()
    can_end: bool = False


def lost_sessions(view: SnapshotView | None, document: Document, diff: DocumentDiff) -> LostSessions:
    """Return which sessions stay open although `document` would not let them in; `diff` is what led to it."""
    if view is None:
        return LostSessions()
    seen = view.snapshot.sessions
    if seen is None:
        return LostSessions(sentences=(NO_CONNTRACK,)) if _takes_away(diff, document) else LostSessions()
    try:
        before = _documents.get_or_compute(view.snapshot.sha256, lambda: read_loaded_documents(view.rulesets))
    except NetfilterError:
        # Somebody has put into our chains what no document can say, so none can say who was let in by it.
        return LostSessions()
    loss = NewlyRefused(before, document)
    counts: Counter[DocumentRule | None] = Counter()
    for group in seen.groups:
        if loss.includes(group.inbound):
            counts[_rule_of(group.inbound, before[group.inbound.family], diff)] += group.count
    sentences = [_sentence(rule, count) for rule, count in counts.most_common(NAMED)]
    if len(counts) > NAMED:
        rest = sum(count for _, count in counts.most_common()[NAMED:])
        sentences.append(f"{counted(rest, 'session')} of other rules {_stay(rest)} open.")
    more = not seen.whole and _takes_away(diff, document)
    if more:
        sentences.append(MORE)
    return LostSessions(counts.total(), tuple(sentences), can_end=bool(counts) or more)


def _rule_of(session: InboundSession, before: Document, diff: DocumentDiff) -> DocumentRule | None:
    """Return the rule that had let a session in, as the admins wrote it, None for the ICMP setting."""
    rule = next((rule for rule in before.rules if rule_allows(rule, session)), None)
    if rule is None:
        return None
    written = (*diff.removed, *(old for old, _ in diff.changed))
    return next((known for known in written if known.id == rule.id), rule)


def _sentence(rule: DocumentRule | None, count: int) -> str:
    sessions = counted(count, "established session")
    if rule is None:
        return f"{sessions} of ICMP {_stay(count)} open."
    comment = f" ({rule.comment})" if rule.comment else ""
    return f"{sessions} of {describe_rule(rule)}{comment} {_stay(count)} open."


def _stay(count: int) -> str:
    return "stays" if count == 1 else "stay"


def _takes_away(diff: DocumentDiff, document: Document) -> bool:
    """Say whether some rule went that no other one makes up for."""
    gone = (rule for rule in (*diff.removed, *(old for old, _ in diff.changed)) if rule.enabled)
    return any(first_cover(document.rules, rule) is None for rule in islice(gone, LOOKED_AT))
