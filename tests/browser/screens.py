"""Screenshots of a page at phone and desktop width, light and dark, and what must hold at every width."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, ViewportSize

PHONE: ViewportSize = {"width": 375, "height": 812}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
_SIZES = {"phone": PHONE, "desktop": DESKTOP}
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# What README shows.
README_SCREENS = {
    "dashboard-desktop-light",
    "review-desktop-light",
    "live-desktop-dark",
    "rules-phone-dark",
}


class Screens:
    """Takes the pictures into one folder; README's when DOCKERFW_SCREENSHOTS is docs/screenshots."""

    def __init__(self, fallback: Path) -> None:
        """Use the folder that DOCKERFW_SCREENSHOTS names; `fallback` without it."""
        chosen = os.environ.get("DOCKERFW_SCREENSHOTS", "")
        self.for_readme = chosen.rstrip("/").endswith("docs/screenshots")
        self.folder = Path(chosen) if chosen else fallback
        self.folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Page, name: str) -> None:
        """Photograph the page in each size and scheme; fail when it is wider than the screen."""
        for size_name, size in _SIZES.items():
            page.set_viewport_size(size)
            _assert_fits(page, f"{name} ({size_name})")
            for scheme in _SCHEMES:
                title = f"{name}-{size_name}-{scheme}"
                if self.for_readme and title not in README_SCREENS:
                    continue
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=self.folder / f"{title}.png", full_page=not self.for_readme)
        page.emulate_media(color_scheme="light")


def _assert_fits(page: Page, name: str) -> None:
    width, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= room, f"{name}: the page is {width} px wide on a screen of {room} px"
    headings = page.locator("h1").count()
    assert headings == 1, f"{name}: {headings} first headings"
