"""Template tag for the catalogue of well-known lists. None of them is fetched unless it is chosen."""

from __future__ import annotations

from urllib.parse import urlencode

from django import template

from rules.lists.presets import PRESETS, Preset

register = template.Library()


@register.simple_tag
def list_presets() -> tuple[Preset, ...]:
    """Return the lists, each with the values of a feed."""
    return PRESETS


@register.simple_tag
def preset_query(preset: Preset) -> str:
    """Return the part of the form's address that fills a list in."""
    values = {"name": preset.name, "url": preset.url, "comment": preset.title}
    return f"?{urlencode({'kind': 'feed', **values, 'refresh_hours': preset.refresh_hours})}"
