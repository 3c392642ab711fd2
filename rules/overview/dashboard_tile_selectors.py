"""Read the four numbers of the dashboard, each with its last 24 hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from dockerfw.document.words import describe_count
from rules.asking.exposure_selectors import read_exposure
from rules.draft.basis_selectors import Basis
from rules.draft.draft_selectors import pending_diff
from rules.overview.chart_figures import Figure
from rules.overview.chart_selectors import figures_of_day
from rules.overview.dashboard_selectors import Checks, Tone, read_checks
from rules.overview.sample_names import ACCEPTED, CHECKS_FAILING, OPEN_PORTS, PENDING, REFUSED
from rules.pages.wording import describe_age

# A tile does not call a sample current that is older.
CURRENT: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Tile:
    """A number with its title, what it is about, and the page that it leads to; `value` None is unknown."""

    title: str
    page: str
    value: float | None
    note: str
    figure: Figure
    tone: Tone | Literal[""] = ""
    query: str = ""

    @property
    def has_peak(self) -> bool:
        """Return True if the highest value of its figure is one of the same thing as its number."""
        return self.page not in ("review", "expectation-list")

    @property
    def url(self) -> str:
        """The name of the page's URL."""
        return f"rules:{self.page}"


def read_tiles(basis: Basis, now: datetime) -> tuple[Tile, ...]:
    """Return the tiles; the last one is about the checks, without any about pending changes."""
    checks = read_checks(basis)
    last = PENDING if checks is None else CHECKS_FAILING
    refused, accepted, opened, other = figures_of_day(basis.host, (REFUSED, ACCEPTED, OPEN_PORTS, last), now)
    return (
        _of_samples(basis, "Refused per minute", "refused", refused, now, "packets"),
        _of_samples(basis, "New connections per minute", "charts", accepted, now, "allowed"),
        _of_exposure(basis, opened),
        _of_draft(basis, other) if checks is None else _of_checks(checks, other),
    )


def _of_samples(basis: Basis, title: str, page: str, figure: Figure, now: datetime, note: str) -> Tile:
    if figure.newest is None:
        missing = "no sample of the last 24 hours" if basis.base else "counted from the first apply on"
        return Tile(title, page, None, missing, figure, "unknown")
    age = now - figure.newest[0]
    if age > CURRENT:
        return Tile(
            title, page, None, f"no sample for {describe_age(age.total_seconds())}", figure, "unknown"
        )
    return Tile(title, page, figure.newest[1], note, figure)


def _of_exposure(basis: Basis, figure: Figure) -> Tile:
    title, page, view = "Open to the internet", "exposure", basis.view
    if view is None or view.stale:
        return Tile(title, page, None, "the kernel has not been read", figure, "unknown")
    found = read_exposure(basis, view)
    counts, ports = found.counts, describe_count(len(found.rows), "listening port")
    if not found.complete:
        return Tile(title, page, None, "not all ports could be read", figure, "unknown")
    if counts["unknown"]:
        return Tile(
            title, page, counts["anywhere"], f"and {counts['unknown']} unknown, of {ports}", figure, "unknown"
        )
    return Tile(title, page, counts["anywhere"], f"of {ports}", figure, query="?who=anywhere")


def _of_checks(checks: Checks, figure: Figure) -> Tile:
    title, page = "Checks", "expectation-list"
    if checks.reason:
        return Tile(title, page, None, "the kernel has not been read", figure, "unknown")
    return Tile(title, page, checks.passing, f"of {len(checks.results)} pass", figure, checks.tone)


def _of_draft(basis: Basis, figure: Figure) -> Tile:
    count = pending_diff(basis.host).count
    return Tile("Pending changes", "review", count, "in the draft", figure)
