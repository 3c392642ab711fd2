"""Read drift for pages and the command line: each difference, its probable cause and its first lines."""

from __future__ import annotations

from dataclasses import dataclass

from dockerfw.chains.adoption import adopt_live
from dockerfw.chains.drift import OF_DOCKER, WAYS_IN, Drift, DriftCode, DriftLine
from dockerfw.chains.importing import Imported
from dockerfw.iptables.tokens import printable
from dockerfw.messages.snapshot_values import set_states_of, surroundings_of
from rules.draft.draft_selectors import draft_document
from rules.models import Host
from rules.seen.snapshot_selectors import SnapshotView

LINES = 12

_OF_OUR_CHAINS: frozenset[DriftCode] = frozenset(
    ("rules-changed", "reordered", "other-revision", "chain-replaced")
)


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One finding with its first lines, escaped for display; `more` counts the remaining lines."""

    what: str
    who: str
    lines: tuple[DriftLine, ...]
    more: int


@dataclass(frozen=True, slots=True)
class DriftView:
    """All findings; `adoptable` is true if our chains hold changed rules that could become the draft.

    `restorable` is true if loading the revision again repairs something, `ways_in` if the settings have to
    name other external interfaces.
    """

    rows: tuple[DriftRow, ...]
    adoptable: bool
    restorable: bool = True
    ways_in: bool = False


def drift_view(drift: Drift | None, *, lines: int = LINES) -> DriftView | None:
    """Return drift as a page or the command line shows it, None where there is none."""
    if drift is None or not drift.findings:
        return None
    rows = tuple(
        DriftRow(
            printable(finding.message),
            printable(finding.cause),
            tuple(DriftLine(line.sign, printable(line.text)) for line in finding.lines[:lines]),
            max(0, len(finding.lines) - lines),
        )
        for finding in drift.findings
    )
    codes = {finding.code for finding in drift.findings}
    return DriftView(
        rows,
        adoptable=not codes.isdisjoint(_OF_OUR_CHAINS),
        restorable=not codes <= WAYS_IN | OF_DOCKER,
        ways_in=not codes.isdisjoint(WAYS_IN),
    )


def read_adoption(host: Host, view: SnapshotView) -> Imported | None:
    """Return the draft that the rules of our chains in the kernel would make, None without such rules.

    Raises DocumentError where they do not make a valid document.
    """
    live = {
        family: view.rulesets[family]
        for family in view.snapshot.families
        if family not in view.snapshot.unread
    }
    # A set that another program has changed holds other sources than those that were loaded.
    changed = {name for name, state in set_states_of(view.snapshot).items() if not state.intact}
    sets = {name: each for name, each in surroundings_of(view.snapshot).sets.items() if name not in changed}
    return adopt_live(live, draft_document(host), sets)
