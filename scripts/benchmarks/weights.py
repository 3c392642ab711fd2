"""What each page weighs: time in the server, HTML, the same with gzip, and queries, beside an empty view.

The pages are asked for in one process with the data of a running stack (`weigh`): the time is Django's
alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from scripts.benchmarks.measure import Row, milliseconds, up_to
from scripts.benchmarks.running import Site
from tests.browser.stack import ROOT

SIZES: Final = (10, 1_000, 10_000)
HOST: Final = "/hosts/local"


class Page(NamedTuple):
    """A page and its address, with the rules of `documents` in draft and kernel."""

    name: str
    path: str


class Weight(NamedTuple):
    """The figures of one page."""

    seconds: float
    html: int
    gzip: int
    queries: int


EMPTY: Final = Page("an empty view", "/empty/")
PAGES: Final = (
    Page("dashboard", f"{HOST}/"),
    Page("rules", f"{HOST}/rules/"),
    Page("new rule", f"{HOST}/rules/new/"),
    Page("edit a rule", f"{HOST}/rules/r00001/edit/"),
    Page("groups", f"{HOST}/groups/"),
    Page("checks", f"{HOST}/expectations/"),
    Page("review", f"{HOST}/review/"),
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
    """Weigh every page with 10, 1,000 and 10,000 rules in the kernel, and one change pending."""
    rows = []
    for size in up_to(most, SIZES):
        for note in ("first", "second"):
            site.import_rules(size, note=note)
            site.wait_confirmed(site.apply()[1])
        site.import_rules(size, note="pending")
        found = _weigh(site)
        floor = found[EMPTY.path].seconds
        for page in PAGES:
            weight = found[page.path]
            rows += [
                milliseconds(
                    f"{page.name}: server", size, weight.seconds, floor, aim="under 100 ms at 1,000"
                ),
                Row(f"{page.name}: HTML", size, weight.html / 1000, "kB", aim="under 100 kB"),
                Row(f"{page.name}: gzip", size, weight.gzip / 1000, "kB"),
                Row(f"{page.name}: queries", size, weight.queries, "", aim="at most 15"),
            ]
    return rows


def _weigh(site: Site) -> dict[str, Weight]:
    environment = {
        **os.environ,
        **dict(
            item.split("=", 1)
            for item in Path(f"/proc/{site.stack.pid('web')}/environ").read_text().split("\0")
            if "=" in item
        ),
    }
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.weigh", *(page.path for page in (EMPTY, *PAGES))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=1200,
    )
    return {path: Weight(*figures) for path, figures in json.loads(done.stdout).items()}
