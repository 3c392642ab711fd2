"""Pages that read what grows for years: the history, the dashboard and the audit log, cold and warm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scripts.benchmarks.measure import Row, up_to
from scripts.benchmarks.running import HOST, Site
from scripts.benchmarks.weights import Page, weigh

HISTORY: Final = (Page("history", f"{HOST}/history/"), Page("last page", f"{HOST}/history/?page=400"))
DASHBOARD: Final = (Page("dashboard", f"{HOST}/"),)
AUDIT: Final = (
    Page("audit", "/audit/"),
    Page("one actor", "/audit/?actor=admin7"),
    Page("two words", "/audit/?q=number+999"),
)
EVENTS: Final = (10_000, 100_000, 1_000_000)


def measure_history(site: Site, most: int) -> Iterator[Row]:
    """Measure the history with 25 revisions of many rules, the dashboard, and 10,000 revisions."""
    if most >= 10:
        site.hold(10)
    for rules in up_to(most, (1_000, 10_000)):
        _fill(site, "revisions", 26, rules)
        yield from weigh(site, HISTORY[:1], rules, note=", 25 revisions of rules", aim="at most 50 ms")
    if most >= 1_000:
        _fill(site, "revisions", 1_000, 1_000)
        yield from weigh(site, DASHBOARD, 1_000, note=", applies of 1,000 rules", aim="at most 20 ms")
    if most >= 10_000:
        _fill(site, "revisions", 10_000, 10)
        yield from weigh(site, HISTORY, 10_000, note=", revisions of 10 rules", aim="at most 50 ms")


def measure_audit(site: Site, most: int) -> Iterator[Row]:
    """Measure the audit log with up to a million events."""
    filled = 0
    for events in up_to(most, EVENTS):
        _fill(site, "events", events - filled, 0)
        filled = events
        yield from weigh(site, AUDIT, events, note=", events", aim="at most 20 ms")


def _fill(site: Site, what: str, count: int, rules: int) -> None:
    site.run_as_web("scripts.benchmarks.fill", what, str(count), str(rules))
