"""What each page weighs: time in the server, HTML, the same with gzip, and queries, beside an empty view.

The pages are asked for in one process with the data of a running stack (`weigh`): the time is Django's
alone, and that of the processor.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from scripts.benchmarks.measure import Row, medians, milliseconds, paired_ratio, up_to
from scripts.benchmarks.running import HOST, Site

SIZES: Final = (10, 1_000, 10_000)
FOREIGN: Final = 40_000
BESIDE_FOREIGN: Final = 1_000
AIM: Final = "under 100 ms at 1,000"
TIMES: Final = {
    "warm": "server",
    "moved": "server, after counters moved",
    "cold": "server, memories emptied",
}


class Page(NamedTuple):
    """A page and its address, with the rules of `documents` in draft and kernel."""

    name: str
    path: str


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
    Page("revision", f"{HOST}/history/1/"),
    Page("compare", f"{HOST}/history/compare/?a=1&b=2"),
    Page("settings", f"{HOST}/settings/"),
    Page("import", f"{HOST}/import/"),
    Page("audit", "/audit/"),
)


def measure_weights(site: Site, most: int) -> list[Row]:
    """Weigh every page with rules in the kernel and one change pending, then beside 40,000 foreign rules."""
    rows = []
    for size in up_to(most, SIZES):
        site.hold(size)
        rows += weigh(site, PAGES, size)
    if most >= FOREIGN:
        site.hold(BESIDE_FOREIGN)
        with site.foreign_rules(FOREIGN):
            rows += weigh(site, PAGES, FOREIGN, note=" beside foreign rules")
    return rows


def weigh(site: Site, pages: tuple[Page, ...], size: int, *, note: str = "", aim: str = AIM) -> list[Row]:
    """Return the figures of some pages, while counters move."""
    with site.moving_counters():
        found = site.run_as_web("scripts.benchmarks.weigh", *(page.path for page in pages))
    rows = []
    for name, path in pages:
        weight = found[path]
        for kind, words in TIMES.items():
            floor, seconds = medians(weight[kind])
            ratio = paired_ratio(weight[kind], 1, 0)
            rows.append(milliseconds(f"{name}{note}: {words}", size, seconds, floor, ratio=ratio, aim=aim))
        rows += [
            Row(f"{name}{note}: HTML", size, weight["html"] / 1000, "kB", aim="under 100 kB"),
            Row(f"{name}{note}: gzip", size, weight["gzip"] / 1000, "kB"),
            Row(f"{name}{note}: queries", size, weight["queries"], "", aim="at most 15"),
        ]
    return rows
