"""Read what the dashboard counts: rules by family, checks, and rules that end soon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from dockerfw.chains.kernel_state import sum_refused
from dockerfw.chains.names import is_own_chain
from dockerfw.document.document import Document, DocumentRule
from dockerfw.iptables.model import Counters, Family
from dockerfw.reach.expectations import ExpectationResult
from rules.draft.basis_selectors import Basis
from rules.seen.consequence_selectors import findings_now
from rules.seen.snapshot_selectors import SnapshotView

Tone = Literal["ok", "bad", "unknown"]

SOON: Final = timedelta(days=14)
MOST_LINES: Final = 5


@dataclass(frozen=True, slots=True)
class FamilyCounts:
    """The rules of one family; `refused` is None where the last rule of FILTERS is not loaded."""

    family: Family
    ours: int
    others: int
    refused: Counters | None


@dataclass(frozen=True, slots=True)
class Checks:
    """The expectations of the confirmed revision, against the kernel's rules.

    `reason` says why the results are not those of now, "" if they are.
    """

    results: tuple[ExpectationResult, ...]
    reason: str

    @property
    def passing(self) -> int:
        """The number of expectations that hold."""
        return sum(each.state == "holds" for each in self.results)

    @property
    def wrong(self) -> tuple[ExpectationResult, ...]:
        """Those that fail, then those that cannot be told."""
        states = ("fails", "unknown")
        return tuple(
            sorted(
                (each for each in self.results if each.state in states),
                key=lambda each: states.index(each.state),
            )
        )

    @property
    def tone(self) -> Tone:
        """The level of the worst result now: bad, unknown or ok."""
        if not self.reason and any(each.state == "fails" for each in self.results):
            return "bad"
        return "unknown" if self.reason or self.wrong else "ok"


@dataclass(frozen=True, slots=True)
class Ending:
    """A rule that ends soon, and when."""

    rule: DocumentRule
    at: datetime


def family_counts(view: SnapshotView) -> tuple[FamilyCounts, ...]:
    """Count the rules of both families by owner, and the packets that dockerfw refused."""
    found: list[FamilyCounts] = []
    for family, ruleset in sorted(view.rulesets.items()):
        ours = others = 0
        for table in ruleset.tables.values():
            for chain in table.chains.values():
                if table.name == "filter" and is_own_chain(chain.name):
                    ours += len(chain.rules)
                else:
                    others += len(chain.rules)
        found.append(FamilyCounts(family, ours, others, sum_refused(ruleset)))
    return tuple(found)


def read_checks(basis: Basis) -> Checks | None:
    """Return the state of the confirmed revision's expectations, None where it has none."""
    document, view = basis.base_document, basis.view
    if document is None or not document.expectations:
        return None
    if view is None:
        return Checks((), basis.seen.problem)
    reason = f"The kernel was read {view.when} and not since." if view.stale else ""
    return Checks(findings_now(view, document), reason)


def ending_rules(document: Document | None, now: datetime) -> tuple[Ending, ...]:
    """Return the enabled rules of a document that end within two weeks, the next one first."""
    if document is None:
        return ()
    rules = (
        (rule, datetime.fromisoformat(rule.expires))
        for rule in document.rules
        if rule.enabled and rule.expires
    )
    found = (Ending(rule, at) for rule, at in rules if now <= at <= now + SOON)
    return tuple(sorted(found, key=lambda each: each.at))
