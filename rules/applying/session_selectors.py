"""Read which open sessions a document no longer allows, in words.

Loading rules does not end them: established sessions always pass. The counts are those of the last snapshot.
The host finds the sessions that Keep ends anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from dockerfw.chains.loaded_documents import documents_of
from dockerfw.chains.names import PROXY_SETS
from dockerfw.document.coverage import first_cover
from dockerfw.document.diff import DocumentDiff
from dockerfw.document.document import Document, DocumentRule, digest
from dockerfw.document.words import describe_count, describe_rule
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family
from dockerfw.reach.inbound import InboundSession, Members, NewlyRefused, rule_allows, sets_asked
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import surroundings_bound

NAMED = 10
# Comparing thousands of rules takes long, and one removed rule is enough.
LOOKED_AT = 200
NO_CONNTRACK = (
    "Cannot tell whether sessions that the removed rules allowed stay open: conntrack is not installed on the"
    " host, or does not work."
)
RULES_UNKNOWN = (
    "Cannot tell whether sessions that the removed rules allowed stay open: the kernel does not hold the"
    " confirmed revision, and the rules that it holds cannot be read back."
)
SETS_UNKNOWN = (
    "Cannot tell which sessions belong to removed rules for containers by name or for lists: what these stand"
    " for is unknown at the moment. Sessions that are not ended stay open."
)
MORE = "The host has more sessions than are counted here."

_documents: Memory[Mapping[Family, Document]] = Memory(
    4, lambda found: sum(len(document.rules) for document in found.values())
)


@dataclass(frozen=True, slots=True)
class LostSessions:
    """The open sessions that are no longer allowed, a sentence per rule, and if Keep can end them."""

    count: int = 0
    sentences: tuple[str, ...] = ()
    can_end: bool = False


def lost_sessions(
    view: SnapshotView | None, document: Document, diff: DocumentDiff, held: Document | None = None
) -> LostSessions:
    """Return the sessions that stay open although `document`, reached by `diff`, does not allow them.

    `held` is the document that the kernel holds, None if it holds another one or has changed.
    """
    if view is None:
        return LostSessions()
    seen = view.snapshot.sessions
    if seen is None:
        return LostSessions(sentences=(NO_CONNTRACK,)) if _removes_access(diff, document) else LostSessions()
    if not seen.groups and seen.whole:
        # Whatever rules the kernel holds, which take long to read back: no session can stay open.
        return LostSessions()
    try:
        key = (view.snapshot.sha256, held and digest(held))
        before = _documents.get_or_compute(key, lambda: documents_of(view.rulesets, held))
    except NetfilterError:
        # Our chains hold a manual change that no document can express, so the allowed sessions are unknown.
        return LostSessions(sentences=(RULES_UNKNOWN,)) if _removes_access(diff, document) else LostSessions()
    # Both families usually have the same document.
    documents = {id(each): each for each in (*before.values(), document)}
    members = _members_seen(view, documents.values()) if seen.groups else {}
    loss = NewlyRefused(before, document, moment=view.snapshot.taken_at, members=members)
    counts: Counter[DocumentRule | None] = Counter()
    for group in seen.groups:
        if loss.includes(group.inbound):
            counts[_rule_of(group.inbound, before[group.inbound.family], diff, members)] += group.count
    sentences = [_sentence(rule, count) for rule, count in counts.most_common(NAMED)]
    if len(counts) > NAMED:
        rest = sum(count for _, count in counts.most_common()[NAMED:])
        sentences.append(f"{describe_count(rest, 'session')} of other rules {_stay(rest)} open.")
    removes = _removes_access(diff, document)
    more = not seen.whole and removes
    if more:
        sentences.append(MORE)
    untold = removes and bool(seen.groups) and not _sets_of_gone(before, diff) <= members.keys()
    if untold:
        sentences.append(SETS_UNKNOWN)
    return LostSessions(counts.total(), tuple(sentences), can_end=bool(counts) or more or untold)


def _members_seen(view: SnapshotView, documents: Iterable[Document]) -> Members:
    """Return the members of the sets that tell which sessions these documents allow, where they are known."""
    found: dict[str, frozenset[str]] = {}
    for document in documents:
        sets = surroundings_bound(view, document).sets
        for name in sets_asked(document):
            if name not in found and name in sets and (members := sets[name].members) is not None:
                found[name] = frozenset(members)
    return found


def _rule_of(
    session: InboundSession, before: Document, diff: DocumentDiff, members: Members
) -> DocumentRule | None:
    """Return the rule that allowed a session, as the admins wrote it, None for the ICMP setting."""
    rule = next((rule for rule in before.rules if rule_allows(rule, session, members)), None)
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
    return any(first_cover(document.rules, rule) is None for rule in islice(_gone(diff), LOOKED_AT))


def _sets_of_gone(before: Mapping[Family, Document], diff: DocumentDiff) -> set[str]:
    """Return the names of the sets that the removed and changed rules match, without docker-proxy's."""
    gone = tuple(_gone(diff))
    found = (sets_asked(replace(document, rules=gone)) for document in before.values())
    return {name for names in found for name in names} - {*PROXY_SETS.values()}


def _gone(diff: DocumentDiff) -> Iterator[DocumentRule]:
    return (rule for rule in (*diff.removed, *(old for old, _ in diff.changed)) if rule.enabled)
