"""The first visit of a browser with an empty cache: until something is painted, bytes and requests."""

from __future__ import annotations

from typing import Final, NamedTuple

from playwright.sync_api import Browser, sync_playwright

from scripts.benchmarks.measure import Row, milliseconds
from scripts.benchmarks.running import Site
from scripts.benchmarks.weights import PAGES
from tests.browser.chromium import CHROMIUM

RULES: Final = (1_000, 10)
EMPTY: Final = "/healthz"
# Chromium's own entries. What a page asks for once it is loaded belongs to the visit.
_READ: Final = """() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    if (!paint || document.readyState !== "complete") return null;
    const loads = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
    return [paint.startTime / 1000, loads.reduce((sum, one) => sum + one.transferSize, 0), loads.length];
}"""


class Visit(NamedTuple):
    """What a first visit took."""

    seconds: float
    bytes: float
    requests: int


def measure_first(site: Site, most: int) -> list[Row]:
    """Measure a first visit to each page with 1,000 rules, beside a page of one word."""
    rules = next((size for size in RULES if size <= most), 0)
    if not rules:
        return []
    site.hold(rules)
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _visit(browser, site, EMPTY)
        for name, path in PAGES:
            floor, visit = (_visit(browser, site, place) for place in (EMPTY, path))
            rows += [
                milliseconds(f"{name}: first paint", rules, visit.seconds, floor.seconds),
                Row(f"{name}: bytes of a first visit", rules, visit.bytes / 1000, "kB"),
                Row(f"{name}: requests of a first visit", rules, visit.requests, ""),
            ]
        browser.close()
    return rows


def _visit(browser: Browser, site: Site, path: str) -> Visit:
    with browser.new_context() as context:
        for each in site.alice.cookies:
            context.add_cookies([{"name": each.name, "value": each.value or "", "url": site.stack.address}])
        page = context.new_page()
        page.goto(f"{site.stack.address}{path}", wait_until="load")
        return Visit(*page.wait_for_function(_READ).json_value())
