"""Read the live page: tables and chains as the kernel holds them, a bounded number of rows at a time.

Owns paging, filtering and rates; it only works on a snapshot and never asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rules.netfilter.model import Family
from rules.selectors.snapshots import SnapshotView

ROWS = 100
TABLES = ("filter", "nat", "mangle", "raw", "security")


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A rule of the kernel; rates are None when there is nothing to compare with."""

    number: int
    text: str
    readable: str
    target: str
    jumps_to: str
    comment: str
    rule_key: str
    packets: int | None
    bytes: int | None
    packets_per_second: float | None
    bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class LiveChain:
    """A chain with the rows of one page; `matching` counts what the filter lets through."""

    table: str
    name: str
    anchor: str
    owner: str
    policy: str
    packets: int | None
    bytes: int | None
    total: int
    matching: int
    rows: tuple[LiveRow, ...]
    page: int
    pages: int

    @property
    def more(self) -> bool:
        """Say whether rows are left that this page does not show."""
        return self.page < self.pages


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A table with the chains that are shown."""

    name: str
    chains: tuple[LiveChain, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class LiveView:
    """One family as the kernel held it at `taken_at`; `interval` is the seconds that rates are taken over."""

    family: Family
    tables: tuple[LiveTable, ...]
    taken_at: datetime
    age: float
    stale: bool
    rules: int
    matching: int
    interval: float | None


def live_view(
    snapshot: SnapshotView,
    *,
    family: Family = 4,
    query: str = "",
    hide_empty: bool = False,
    page: int = 1,
    open_chain: str = "",
    previous: SnapshotView | None = None,
) -> LiveView:
    """Return one family's tables, 100 rules a chain at most.

    `open_chain` is a LiveChain.anchor: `page` turns that chain's pages, all others show their first. All words of
    `query` have to be in the rule's text or its chain's name.
    """
    raise NotImplementedError
