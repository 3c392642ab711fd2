"""The first visit of a browser with an empty cache: until it is painted and all its files are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from playwright.sync_api import Browser, sync_playwright

from scripts.benchmarks.measure import Row, median, medians, milliseconds
from scripts.benchmarks.running import Site
from scripts.benchmarks.weights import PAGES
from tests.browser.chromium import CHROMIUM

RULES: Final = (1_000, 10)
ROUNDS: Final = 3
EMPTY: Final = "/healthz"
# Chromium's own entries. What a page asks for once it is loaded belongs to the visit.
_READ: Final = """() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    if (!paint || document.readyState !== "complete") return null;
    const visit = performance.getEntriesByType("navigation")[0];
    const loads = [visit, ...performance.getEntriesByType("resource")];
    const bytes = loads.reduce((sum, one) => sum + one.transferSize, 0);
    return [paint.startTime / 1000, visit.loadEventStart / 1000, bytes, loads.length];
}"""


class Visit(NamedTuple):
    """What a first visit took: seconds until the first paint and until all is loaded, bytes and requests."""

    painted: float
    loaded: float
    bytes: float
    requests: float


def measure_first(site: Site, most: int) -> Iterator[Row]:
    """Measure a first visit to each page with 1,000 rules, beside a page of one word."""
    rules = next((size for size in RULES if size <= most), 0)
    if not rules:
        return
    site.hold(rules)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _visit(browser, site, EMPTY)
        for each in PAGES:
            path = each.path_at(site.applies)
            pairs = [(_visit(browser, site, EMPTY), _visit(browser, site, path)) for _ in range(ROUNDS)]
            floor, visit = (Visit(*medians(visits)) for visits in zip(*pairs, strict=True))
            painted, loaded = (median(pair[1][at] / pair[0][at] for pair in pairs) for at in (0, 1))
            what = f"{each.name}: first visit"
            yield milliseconds(f"{what}, painted", rules, visit.painted, floor.painted, ratio=painted)
            yield milliseconds(f"{what}, all loaded", rules, visit.loaded, floor.loaded, ratio=loaded)
            yield Row(f"{what}, bytes", rules, visit.bytes / 1000, "kB")
            yield Row(f"{what}, requests", rules, visit.requests, "")
        browser.close()


def _visit(browser: Browser, site: Site, path: str) -> Visit:
    with browser.new_context() as context:
        for each in site.alice.cookies:
            context.add_cookies([{"name": each.name, "value": each.value or "", "url": site.stack.address}])
        page = context.new_page()
        page.goto(f"{site.stack.address}{path}", wait_until="load")
        return Visit(*page.wait_for_function(_READ).json_value())
