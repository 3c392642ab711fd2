"""Read the live page from a snapshot: tables and chains with paging, filtering and rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from dockerfw.chains.names import rule_id_of
from dockerfw.chains.owners import chain_owner
from dockerfw.iptables.model import Chain, Counters, Family, Rule, Ruleset, Table
from dockerfw.iptables.tokens import printable
from rules.seen.kernel_wording import readable_rule, readable_target
from rules.seen.snapshot_selectors import SnapshotView

ROWS = 100
# Without a choice, chains open from the first one on until this many rules are shown.
FIRST_ROWS = 80
CHAINS = 40
TABLES = ("filter", "nat", "mangle", "raw", "security")


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A rule of the kernel; rates are None without an earlier snapshot to compare with."""

    number: int
    text: str
    readable: str
    target: str
    jumps_to: str
    jump_anchor: str
    comment: str
    rule_key: str
    packets: int | None
    bytes: int | None
    packets_per_second: float | None
    bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class LiveChain:
    """A chain; `matching` counts the rules that match the query. An open one has the rows of one page."""

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
    is_open: bool = True

    @property
    def more(self) -> bool:
        """Return True if there are rows after this page."""
        return self.page < self.pages


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A table with its shown chains, and how many are hidden."""

    name: str
    chains: tuple[LiveChain, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Opening:
    """Which chains one answer holds: a page of them, of which those with the anchors `asked` are open.

    Without `asked` the first ones are open. Without `page` it is the page with the chain that was asked for.
    """

    asked: frozenset[str] | None = None
    page: int = 0


@dataclass(frozen=True, slots=True)
class LiveView:
    """One family as the kernel held it at `taken_at`; `interval` is the seconds that rates are taken over.

    `tables` hold the chains of one page; `chains` counts those of all pages.
    """

    family: Family
    tables: tuple[LiveTable, ...]
    taken_at: datetime
    age: float
    stale: bool
    rules: int
    matching: int
    interval: float | None
    chains: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """The position of the page's first chain, from 1."""
        return (self.page - 1) * CHAINS + 1

    @property
    def last(self) -> int:
        """The position of the page's last chain."""
        return min(self.page * CHAINS, self.chains)


def live_view(
    snapshot: SnapshotView,
    *,
    family: Family = 4,
    query: str = "",
    hide_empty: bool = False,
    page: int = 1,
    open_chain: str = "",
    previous: SnapshotView | None = None,
    opening: Opening | None = None,
) -> LiveView:
    """Return one family's tables, at most 100 rules per chain. Without `opening` every chain is open.

    `open_chain` is a LiveChain.anchor: `page` is the page of that chain, all others show their first page.
    Every word of `query` has to be in the rule's text or in its chain's name.
    """
    words = tuple(query.casefold().split())
    sight = _Sight(family, words, hide_empty, page, open_chain, _Before.of(snapshot, family, previous))
    ruleset = snapshot.rulesets[family]
    names = sorted(ruleset.tables, key=lambda name: TABLES.index(name) if name in TABLES else len(TABLES))
    tables = {name: sight.shown(ruleset.tables[name]) for name in names}
    shown = [each for found in tables.values() for each in found]
    pages = max(1, -(-len(shown) // CHAINS)) if opening else 1
    number = min(max(sight.page_of(shown, opening), 1), pages) if opening else 1
    places = slice((number - 1) * CHAINS, number * CHAINS) if opening else slice(None)
    on_page = [sight.closed(each) for each in shown[places]]
    opened = _opened(on_page, opening, open_chain)
    made = [
        sight.open(ruleset.tables[chain.table], chain) if chain.anchor in opened else chain
        for chain in on_page
    ]
    filled = (
        LiveTable(
            name=name,
            chains=tuple(chain for chain in made if chain.table == name),
            hidden=len(ruleset.tables[name].chains) - len(found),
        )
        for name, found in tables.items()
    )
    return LiveView(
        family=family,
        tables=tuple(table for table in filled if table.chains),
        taken_at=snapshot.taken_at,
        age=snapshot.age,
        stale=snapshot.stale,
        rules=sum(len(chain.rules) for table in ruleset.tables.values() for chain in table.chains.values()),
        matching=sum(each.matching for each in shown),
        interval=sight.before.seconds,
        chains=len(shown),
        page=number,
        pages=pages,
    )


def _opened(on_page: list[LiveChain], opening: Opening | None, open_chain: str) -> frozenset[str]:
    """Return the anchors of the chains that are open."""
    if opening is None:
        return frozenset(chain.anchor for chain in on_page)
    if opening.asked is not None:
        return opening.asked
    opened, rows = {open_chain}, 0
    for chain in on_page:
        rows += min(chain.matching, ROWS)
        if chain.total and rows <= FIRST_ROWS:
            opened.add(chain.anchor)
    return frozenset(opened)


@dataclass(frozen=True, slots=True)
class _Before:
    """The earlier snapshot that rates are computed from."""

    ruleset: Ruleset | None
    seconds: float | None

    @classmethod
    def of(cls, snapshot: SnapshotView, family: Family, previous: SnapshotView | None) -> _Before:
        if previous is None:
            return cls(None, None)
        seconds = (snapshot.taken_at - previous.taken_at).total_seconds()
        return cls(previous.rulesets[family], seconds) if seconds > 0 else cls(None, None)

    def counters(self, chain: Chain, table: str, texts: Collection[str]) -> Mapping[str, list[Counters]]:
        """Return the chain's earlier counters of the rules with these texts; equal rules keep their order."""
        earlier = self.ruleset.chain(table, chain.name) if self.ruleset else None
        found: dict[str, list[Counters]] = {}
        for rule in earlier.rules if earlier else ():
            if rule.counters is not None and rule.text in texts:
                found.setdefault(rule.text, []).append(rule.counters)
        return found


class _Listed(NamedTuple):
    """A chain of a table, and how many of its rules match the query."""

    table: str
    chain: Chain
    matching: int


@dataclass(frozen=True, slots=True)
class _Sight:
    """The filter and the page that one viewer asked for."""

    family: Family
    words: tuple[str, ...]
    hide_empty: bool
    page: int
    open_chain: str
    before: _Before

    def shown(self, table: Table) -> list[_Listed]:
        """Return the chains that the filter leaves; of very many of them a page shows few."""
        listed = [
            _Listed(table.name, chain, len(self._matching(chain)) if self.words else len(chain.rules))
            for chain in table.chains.values()
        ]
        if self.words:
            return [each for each in listed if each.matching]
        if self.hide_empty:
            return [each for each in listed if each.chain.rules or each.chain.policy not in (None, "ACCEPT")]
        return listed

    def page_of(self, shown: list[_Listed], opening: Opening) -> int:
        """Return the page of chains that was asked for, or the one with a chain."""
        if opening.page or not self.open_chain:
            return opening.page
        return next(
            (
                place // CHAINS + 1
                for place, each in enumerate(shown)
                if self._anchor(each) == self.open_chain
            ),
            1,
        )

    def closed(self, listed: _Listed) -> LiveChain:
        """Return a chain without its rows."""
        chain, anchor = listed.chain, self._anchor(listed)
        pages = max(1, -(-listed.matching // ROWS))
        return LiveChain(
            table=listed.table,
            name=chain.name,
            anchor=anchor,
            owner=chain_owner(listed.table, chain.name, chain.rules),
            policy=chain.policy or "",
            packets=chain.counters.packets if chain.counters else None,
            bytes=chain.counters.bytes if chain.counters else None,
            total=len(chain.rules),
            matching=listed.matching,
            rows=(),
            page=min(max(self.page, 1), pages) if anchor == self.open_chain else 1,
            pages=pages,
            is_open=False,
        )

    def _anchor(self, listed: _Listed) -> str:
        return f"v{self.family}-{listed.table}-{listed.chain.name}"

    def open(self, table: Table, chain: LiveChain) -> LiveChain:
        """Return a chain with the rows of its page."""
        held = table.chains[chain.name]
        shown = self._matching(held)[(chain.page - 1) * ROWS : chain.page * ROWS]
        return replace(chain, rows=self._rows(table, held, shown) if shown else (), is_open=True)

    def _matching(self, chain: Chain) -> list[tuple[int, Rule]]:
        numbered = list(enumerate(chain.rules, start=1))
        left = [word for word in self.words if word not in chain.name.casefold()]
        if not left:
            return numbered
        return [(number, rule) for number, rule in numbered if _contains_all(rule.text.casefold(), left)]

    def _rows(self, table: Table, chain: Chain, shown: list[tuple[int, Rule]]) -> tuple[LiveRow, ...]:
        wanted, last = dict(shown), shown[-1][0]
        texts = {rule.text for _, rule in shown}
        earlier = self.before.counters(chain, table.name, texts)
        seen: Counter[str] = Counter()
        rows: list[LiveRow] = []
        # Equal rules in one chain are told apart by their order, so rows before the shown ones count too.
        for number, rule in enumerate(chain.rules[:last], start=1):
            if rule.text not in texts:
                continue
            known, index = earlier.get(rule.text, []), seen[rule.text]
            seen[rule.text] += 1
            if number in wanted:
                was = known[index] if index < len(known) else None
                rows.append(self._row(table, number, rule, was))
        return tuple(rows)

    def _row(self, table: Table, number: int, rule: Rule, was: Counters | None) -> LiveRow:
        seconds = self.before.seconds
        now, target = rule.counters, rule.target
        comment = rule.comment or ""
        jumps_to = target.name if target and target.name in table.chains else ""
        rated = now is not None and was is not None and seconds is not None and now.packets >= was.packets
        return LiveRow(
            number=number,
            text=printable(rule.text),
            readable=readable_rule(rule),
            target=readable_target(rule),
            jumps_to=jumps_to,
            jump_anchor=f"v{self.family}-{table.name}-{jumps_to}" if jumps_to else "",
            comment=comment,
            rule_key=rule_id_of(rule.text) or "",
            packets=now.packets if now else None,
            bytes=now.bytes if now else None,
            packets_per_second=(now.packets - was.packets) / seconds
            if rated and now and was and seconds
            else None,
            bytes_per_second=(now.bytes - was.bytes) / seconds if rated and now and was and seconds else None,
        )


def _contains_all(text: str, words: list[str]) -> bool:
    return all(word in text for word in words)
