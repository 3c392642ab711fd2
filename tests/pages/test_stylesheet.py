"""The stylesheet: colours are tokens, and text is easy to read on them in both themes (WCAG AA)."""

from __future__ import annotations

import re

import pytest
from django.conf import settings

STYLESHEET = settings.BASE_DIR / "rules" / "static" / "rules" / "pages" / "dockerfw.css"
TEXT = STYLESHEET.read_text()
TOKENS, _, PARTS = TEXT.partition("/* ---------- base ---------- */")
# The contrast that WCAG 2.2 asks of text, and of the edges of fields.
OF_TEXT, OF_EDGES = 4.5, 3.0
ON_ANY = ("bg", "surface", "raised")
OF_SIDE = ("side-text", "side-strong", "side-faint", "side-accent")
PAIRS = [
    *((text, back, OF_TEXT) for text in ("text", "muted", "faint") for back in ON_ANY),
    *(("accent", back, OF_TEXT) for back in ("bg", "surface", "accent-soft")),
    *((tone, back, OF_TEXT) for tone in ("ok", "warn", "bad") for back in ("bg", "surface", f"{tone}-soft")),
    *(("text", f"{tone}-soft", OF_TEXT) for tone in ("ok", "warn", "bad", "accent")),
    *(("on-button", back, OF_TEXT) for back in ("button", "button-hover", "danger", "danger-hover")),
    ("on-accent", "accent", OF_TEXT),
    *((text, back, OF_TEXT) for text in OF_SIDE for back in ("side", "side-raised")),
    ("edge", "surface", OF_EDGES),
]


def colours(name: str) -> tuple[str, str]:
    """Return a token's colours in the light and the dark theme."""
    found = re.search(rf"^  --{name}: (?:light-dark\((#\w+), (#\w+)\)|(#\w+));$", TOKENS, re.MULTILINE)
    assert found, name
    return (found[1], found[2]) if found[1] else (found[3], found[3])


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    red, green, blue = linear
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("front", "back", "least"), PAIRS, ids=lambda value: str(value))
def test_the_contrast_is_enough_in_both_themes(front: str, back: str, least: float) -> None:
    for one, other in zip(colours(front), colours(back), strict=True):
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, f"{one} on {other}"


def test_every_token_exists_and_is_used() -> None:
    defined = set(re.findall(r"(--[\w-]+):", TEXT))
    used = set(re.findall(r"var\((--[\w-]+)", TEXT))
    assert used == defined


def test_no_part_has_a_colour_of_its_own() -> None:
    screen = PARTS.partition("@media print")[0]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;, )])", screen)
