"""A later release of dockerfw, for tests: one that renders a line more for every document."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dockerfw.chains import render
from dockerfw.document.document import Settings
from dockerfw.iptables.model import Family

NEW_LINE = "-p udp -m udp --dport 5353 -j RETURN"


def install_new_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the renderer write NEW_LINE in FILTERS-HOST, for both families, until the test ends.

    The test has to clear the cache of `render_compiled` at its end.
    """
    old = render._icmp_lines

    def lines(settings: Settings, family: Family, blocks: Sequence[str]) -> list[str]:
        return [*old(settings, family, blocks), NEW_LINE]

    monkeypatch.setattr(render, "_icmp_lines", lines)
    render.render_compiled.cache_clear()
