"""What each page weighs: time in the server, HTML, the same with gzip, and queries, beside an empty view.

The pages are asked for in one process with the data of a running stack (`weigh`): the time is Django's
alone, and that of the processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from scripts.benchmarks.measure import Row, medians, milliseconds, paired_ratio, up_to
from scripts.benchmarks.running import HOST, Site

SIZES: Final = (10, 1_000, 10_000)
FOREIGN: Final = 40_000
BESIDE_FOREIGN: Final = 1_000
# Up to this size a page has an aim in any case; some have one at 10,000 as well.
AIMED: Final = 1_000
AIMS: Final = {
    ("rules: server", 10_000): "at most 50 ms",
    ("exposure: server", 10_000): "at most 100 ms",
    ("review, weighed: server, memories emptied", 10_000): "at most 1,000 ms",
}
TIMES: Final = {
    "warm": "server",
    "moved": "server, after counters moved",
    "cold": "server, memories emptied",
}


class Page(NamedTuple):
    """A page and its address, with the rules of `documents` in draft and kernel."""

    name: str
    path: str

    def path_at(self, revision: int) -> str:
        """Return the address when this is the newest revision: those of older ones may be smaller."""
        return self.path.format(older=revision - 1, newer=revision)


PAGES: Final = (
    Page("dashboard", f"{HOST}/"),
    Page("rules", f"{HOST}/rules/"),
    Page("new rule", f"{HOST}/rules/new/"),
    Page("edit a rule", f"{HOST}/rules/r00001/edit/"),
    Page("groups", f"{HOST}/groups/"),
    Page("checks", f"{HOST}/expectations/"),
    Page("review", f"{HOST}/review/"),
    Page("review, weighed", f"{HOST}/review/?effects=yes"),
    Page("exposure", f"{HOST}/exposure/"),
    Page("refused", f"{HOST}/refused/"),
    Page("live", f"{HOST}/live/"),
    Page("trace", f"{HOST}/trace/"),
    Page("history", f"{HOST}/history/"),
    Page("revision", f"{HOST}/history/{{newer}}/"),
    Page("compare", f"{HOST}/history/compare/?a={{older}}&b={{newer}}"),
    Page("settings", f"{HOST}/settings/"),
    Page("import", f"{HOST}/import/"),
    Page("audit", "/audit/"),
)


def measure_weights(site: Site, most: int) -> Iterator[Row]:
    """Weigh every page with rules in the kernel and one change pending."""
    for size in up_to(most, SIZES):
        site.hold(size)
        yield from weigh(site, PAGES, size, rounds=3 if size <= AIMED else 1)


def measure_foreign(site: Site, most: int) -> Iterator[Row]:
    """Weigh every page with 1,000 rules beside 40,000 foreign ones."""
    for size in up_to(most, [FOREIGN]):
        site.hold(BESIDE_FOREIGN)
        with site.foreign_rules(size):
            yield from weigh(site, PAGES, size, beside=", beside foreign rules", rounds=1)


def weigh(
    site: Site,
    pages: tuple[Page, ...],
    size: int,
    *,
    note: str = "",
    beside: str = "",
    aim: str | None = None,
    rounds: int = 3,
) -> Iterator[Row]:
    """Yield the figures of some pages, while counters move; `aim` is that of all their times."""
    with site.moving_counters():
        paths = {page.name: page.path_at(site.applies) for page in pages}
        found = site.run_as_web("scripts.benchmarks.weigh", str(rounds), *paths.values())
    usual = "under 100 ms" if size <= AIMED else None
    for name, path in paths.items():
        weight = found[path]
        for kind, words in TIMES.items():
            what = f"{name}{note}: {words}{beside}"
            floor, seconds = medians(weight[kind])
            ratio = paired_ratio(weight[kind], 1, 0)
            wanted = aim or AIMS.get((what, size), usual)
            yield milliseconds(what, size, seconds, floor, ratio=ratio, aim=wanted)
        yield Row(f"{name}{note}: HTML{beside}", size, weight["html"] / 1000, "kB", aim="under 100 kB")
        yield Row(f"{name}{note}: gzip{beside}", size, weight["gzip"] / 1000, "kB")
        yield Row(f"{name}{note}: queries{beside}", size, weight["queries"], "", aim="at most 15")
