"""Read who reaches the ports of one rule now, by the kernel's rules of the last snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.ways_in import inside_interfaces, outside_interfaces
from dockerfw.document.document import DocumentRule
from dockerfw.document.words import describe_count, join_words
from dockerfw.iptables.model import FAMILY_NAMES
from dockerfw.messages.snapshot_values import surroundings_of
from dockerfw.reach.exposure import Access, ExposureRow, expose
from dockerfw.reach.offers import Offer
from dockerfw.reach.rule_warnings import applies_to_offer
from dockerfw.reach.sentences import describe_access, unknown_reasons
from rules.draft.draft_selectors import base_document, draft_document
from rules.draft.group_selectors import group_rows
from rules.draft.warning_selectors import offers_in
from rules.models import Host
from rules.seen.change_selectors import FRESH_SECONDS
from rules.seen.consequence_selectors import prepare_live
from rules.seen.snapshot_selectors import Look, SnapshotView

# More ports than these are counted and not simulated.
MOST: Final = 6
# The root worker looks once a minute by itself. An older reading says nothing about now.
MOST_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class RuleReach:
    """Who reaches a rule's ports now, as a sentence; `is_known` False for one that says what is unknown."""

    text: str
    is_known: bool = True


def reach_now(host: Host, rule: DocumentRule, seen: Look) -> RuleReach | None:
    """Return who reaches the ports that a rule names now; None where nothing listens on any of them.

    Of a rule for forwarded traffic or for every port that is not asked.
    """
    if rule.scope == "forwarded" or not rule.ports:
        return None
    if seen.view is None:
        return RuleReach(f"Who reaches this now is unknown: {seen.problem}", is_known=False)
    if seen.view.overtaken or seen.view.ahead > FRESH_SECONDS or seen.view.age > MOST_SECONDS:
        when = seen.view.overtaken or f"The kernel's rules were read {seen.view.when}."
        return RuleReach(f"Who reaches this now is unknown: {when}", is_known=False)
    behind = [each for each in offers_in(seen.view) if applies_to_offer(rule, each)]
    if not behind:
        return None
    rows = _expose(host, seen.view, behind[:MOST])
    more = len(behind) - MOST
    rest = f" {describe_count(more, 'more port')} not looked at." if more > 0 else ""
    known = all(each.level != "unknown" for row in rows for each in row.access)
    then = f"As of {seen.view.when}" if seen.view.stale else "Now"
    return RuleReach(f"{then}: {_describe(rows)}.{rest}", is_known=known)


def group_sizes(host: Host, rule: DocumentRule) -> dict[str, str]:
    """Return how many networks each group among a rule's sources stands for, by its name."""
    wanted = {source[1:] for source in rule.sources if source.startswith("@")}
    if not wanted:
        return {}
    return {
        row.group.name: describe_count(row.ipv4 + row.ipv6, "network") if row.ipv4 + row.ipv6 else "empty now"
        for row in group_rows(host)
        if row.version and row.group.name in wanted
    }


def _expose(host: Host, view: SnapshotView, offers: list[Offer]) -> tuple[ExposureRow, ...]:
    settings = (base_document(host) or draft_document(host)).settings
    around = surroundings_of(view.snapshot)
    return expose(
        offers,
        prepare_live(view),
        outside_interfaces(settings, around),
        inside_interfaces(settings, around),
        settings.external_interfaces,
    )


def _describe(rows: tuple[ExposureRow, ...]) -> str:
    answers = {f"{row.offer.port}/{row.offer.protocol}": _describe_row(row) for row in rows}
    if len(set(answers.values())) == 1:
        return next(iter(answers.values()))
    return "; ".join(f"{port} {words}" for port, words in answers.items())


def _describe_row(row: ExposureRow) -> str:
    """Return `reachable from 192.0.2.0/24`, `not reachable from outside`, or what is unknown."""
    if row.level == "nobody":
        return "not reachable from outside"
    reached = [each for each in row.access if each.level in ("anywhere", "networks")]
    unclear = [each for each in row.access if each.level == "unknown"]
    parts = [f"reachable from {_sources(reached, whole=len(reached) == len(row.access))}"] if reached else []
    if unclear:
        reasons = [reason for each in unclear for reason in (each.reason, *unknown_reasons(each))]
        over = f" over {_families(unclear)}" if reached else ""
        parts.append(f"unknown who reaches it{over}{_after_colon(next(filter(None, reasons), ''))}")
    return ", ".join(parts)


def _sources(access: Sequence[Access], *, whole: bool) -> str:
    """Return the sources in words, with their families unless they are the same for `whole` access."""
    words = dict.fromkeys(map(describe_access, access))
    if whole and len(words) == 1:
        return next(iter(words))
    return join_words(
        [
            f"{each} over {_families([one for one in access if describe_access(one) == each])}"
            for each in words
        ]
    )


def _families(access: Iterable[Access]) -> str:
    return join_words([FAMILY_NAMES[family] for family in sorted({each.family for each in access})])


def _after_colon(reason: str) -> str:
    return f": {reason}" if reason else ""
