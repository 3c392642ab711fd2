"""The font of the pages: served from here where scripts/setup made it, and left out where it could not."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.template import engines
from django.test import Client

FONT = "/static/rules/fonts/inter.woff2"
MOST_BYTES = 120_000


def links() -> str:
    """Return what the head of every page says about the font."""
    return engines["django"].from_string("{% load dockerfw %}{% font %}").render()


@pytest.mark.skipif(not settings.STATICFILES_DIRS, reason="scripts/setup could not make the font")
def test_the_font_is_small_and_preloaded(client: Client) -> None:
    answer = client.get(FONT)
    assert (answer.status_code, answer["Content-Type"]) == (200, "font/woff2")
    body = b"".join(answer)
    assert body[:4] == b"wOF2"
    assert len(body) < MOST_BYTES
    assert f'<link rel="preload" href="{FONT}" as="font" type="font/woff2" crossorigin>' in links()
    style = b"".join(client.get("/static/rules/pages/inter.css")).decode()
    assert 'url("../fonts/inter.woff2")' in style
    assert "font-display: swap" in style


def test_without_the_font_no_page_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "STATICFILES_DIRS", [])
    assert not links().strip()
