"""Read what the kernel counted for each rule: hits and last use, with the rules that share a counter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dockerfw.chains.kernel_state import sum_refused
from dockerfw.chains.shared_counts import counted_with
from dockerfw.document.document import Document, DocumentRule
from dockerfw.iptables.model import Counters
from dockerfw.messages.snapshot_values import LastUse, last_uses_of, limits_of, rule_hits
from rules.draft.draft_selectors import base_document
from rules.models import Host
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

_counts: Memory[RuleCounts] = Memory(4, lambda found: len(found.rules))


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted of one rule, None where it is not loaded or not known.

    Both include those of the rules `shared`, whose lines come first and match packets of this rule too.
    """

    hits: Counters | None = None
    last_use: LastUse | None = None
    shared: tuple[DocumentRule, ...] = ()


NOT_COUNTED = Count()


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """What a host counted, by rule id, and the packets that no rule allowed.

    `since` is when the counting of uses began. It and `refused` are None while they are not known.
    """

    rules: Mapping[str, Count]
    refused: Counters | None = None
    since: datetime | None = None

    def of_rule(self, rule_id: str) -> Count:
        """Return what was counted of a rule."""
        return self.rules.get(rule_id, NOT_COUNTED)


def rule_counts(host: Host, view: SnapshotView | None) -> RuleCounts:
    """Return the counts of a snapshot, added up once for all viewers."""
    if view is None:
        return RuleCounts({})
    key = (host.pk, host.created_at, host.confirmed_revision_id, view.taken_at, view.snapshot.sha256)
    return _counts.get_or_compute(key, lambda: _read(view, base_document(host)))


def _read(view: SnapshotView, loaded: Document | None) -> RuleCounts:
    uses = last_uses_of(view.snapshot)
    # A loaded rule without hits may be on the members of a set only, which are not told without hits.
    none: dict[str, Counters] = dict.fromkeys(uses, Counters(0, 0))
    hits = {**none, **rule_hits(view.snapshot, view.rulesets)}
    rules = {rule.id: rule for rule in loaded.rules} if loaded else {}
    shared = counted_with(loaded, limits_of(view.snapshot)) if loaded else {}
    found = {}
    for rule_id in {*hits, *uses, *shared}:
        firsts = tuple(rules[each] for each in shared.get(rule_id, ()))
        found[rule_id] = _joined(hits, uses, rule_id, firsts)
    since = view.snapshot.uses.since if view.snapshot.uses else ""
    refusals = [each for each in map(sum_refused, view.rulesets.values()) if each is not None]
    refused = Counters(sum(each.packets for each in refusals), sum(each.bytes for each in refusals))
    return RuleCounts(found, refused if refusals else None, datetime.fromisoformat(since) if since else None)


def _joined(
    hits: Mapping[str, Counters], uses: Mapping[str, LastUse], rule_id: str, firsts: tuple[DocumentRule, ...]
) -> Count:
    """Return what was counted of a rule together with those that share its lines."""
    counted, use = hits.get(rule_id), uses.get(rule_id)
    for first in firsts:
        if (more := hits.get(first.id)) is not None:
            known = counted or Counters(0, 0)
            counted = Counters(known.packets + more.packets, known.bytes + more.bytes)
        other = uses.get(first.id)
        use = use.joined_with(other) if use is not None and other is not None else None
    return Count(counted, use, firsts)
