"""Screenshots of a page at phone and desktop width, light and dark, and the checks for every width."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from playwright.sync_api import FloatRect, Page, ViewportSize

PHONE: ViewportSize = {"width": 375, "height": 812}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
SIZES = {"phone": PHONE, "desktop": DESKTOP}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# The screenshots in README and docs/.
DOCS_SCREENS = {
    "apply-awaiting-desktop-light",
    "apply-locked-out-reject-desktop-light",
    "compare-desktop-light",
    "dashboard-desktop-light",
    "dashboard-drift-desktop-light",
    "dashboard-empty-desktop-light",
    "expectations-desktop-light",
    "exposure-desktop-light",
    "history-desktop-light",
    "import-desktop-light",
    "live-desktop-dark",
    "review-changes-desktop-light",
    "review-consequences-desktop-light",
    "review-shut-out-reject-desktop-light",
    "rules-desktop-light",
    "rules-warnings-desktop-light",
    "rules-phone-dark",
    "settings-desktop-light",
    "setup-desktop-light",
    "start-services-desktop-light",
    "trace-desktop-light",
}


class Screens:
    """Takes the pictures into one folder; those of docs/ when DOCKERFW_SCREENSHOTS is docs/screenshots."""

    def __init__(self, fallback: Path) -> None:
        """Use the folder that DOCKERFW_SCREENSHOTS names; `fallback` without it."""
        chosen = os.environ.get("DOCKERFW_SCREENSHOTS", "")
        self.for_docs = chosen.rstrip("/").endswith("docs/screenshots")
        self.folder = Path(chosen) if chosen else fallback
        self.folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Page, name: str) -> None:
        """Photograph the page in each size and scheme; fail when it is wider than the screen."""
        for size_name, size in SIZES.items():
            page.set_viewport_size(size)
            _assert_fits(page, f"{name} ({size_name})")
            for scheme in SCHEMES:
                title = f"{name}-{size_name}-{scheme}"
                if self.for_docs and title not in DOCS_SCREENS:
                    continue
                page.emulate_media(color_scheme=scheme)
                path = self.folder / f"{title}.png"
                if self.for_docs:
                    page.screenshot(path=path, clip=_upper_part(page, size))
                else:
                    page.screenshot(path=path, full_page=True)
        page.emulate_media(color_scheme="light")

    def take_one(self, page: Page, title: str) -> None:
        """Photograph the page as wide as it is, and not for docs/; fail when it is wider than the screen."""
        _assert_fits(page, title)
        if not self.for_docs:
            page.screenshot(path=self.folder / f"{title}.png", full_page=True)


def _upper_part(page: Page, size: ViewportSize) -> FloatRect:
    """Take the first screen, without the empty part below a short page, wherever it was scrolled to."""
    page.evaluate("window.scrollTo(0, 0)")
    end = page.evaluate("document.getElementById('main').lastElementChild.getBoundingClientRect().bottom")
    return {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], end + 24)}


def _assert_fits(page: Page, name: str) -> None:
    width, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= room, f"{name}: the page is {width} px wide on a screen of {room} px"
    headings = page.locator("h1").count()
    assert headings == 1, f"{name}: {headings} first headings"
