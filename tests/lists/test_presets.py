"""The catalogue of well-known lists."""

from __future__ import annotations

from urllib.parse import urlsplit

from rules.lists.presets import PRESETS


def test_each_preset_is_a_list_by_https_with_a_name_of_its_own() -> None:
    assert len({preset.name for preset in PRESETS}) == len({preset.url for preset in PRESETS}) == len(PRESETS)
    for preset in PRESETS:
        parts = urlsplit(preset.url)
        assert (parts.scheme, bool(parts.hostname), parts.username) == ("https", True, None)
        assert 1 <= preset.refresh_hours <= 168
