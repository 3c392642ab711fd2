"""A rendering is the same after it was written down and read."""

from __future__ import annotations

import pytest

from dockerfw.chains.render import loaded_rendering, render, render_restore
from dockerfw.chains.rendering import read_rendering
from dockerfw.document.document import parse_document
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save

DOCUMENT = parse_document(
    {
        "format": "dockerfw/1",
        "settings": {"external_interfaces": ["ens33", "wg0"], "icmp": "refuse"},
        "rules": [{"scope": "both", "protocol": "tcp", "ports": ["22", "8000-8010"], "comment": "web"}],
    }
)


@pytest.mark.parametrize("family", [4, 6])
def test_a_text_is_read_back(family: Family) -> None:
    rendering = render(DOCUMENT, family, 3)
    assert read_rendering(rendering.to_text()) == rendering
    assert read_rendering(rendering.to_text()).to_text() == rendering.to_text()


@pytest.mark.parametrize("counters", [False, True])
def test_a_restore_text_tells_what_it_loads_and_not_what_was_there(counters: bool) -> None:
    live = parse_save(
        "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:FILTERS-HOST - [0:0]\n"
        "[7:420] -A INPUT -j FILTERS-HOST\n[1:2] -A DOCKER-USER -i old0 -j FILTERS-CONTAINERS\nCOMMIT\n"
    )
    text = render_restore(DOCUMENT, 4, live=live, revision=3, counters=counters)
    assert "-I INPUT" not in text
    assert "-D DOCKER-USER -i old0" in text
    assert loaded_rendering(text, DOCUMENT.settings) == render(DOCUMENT, 4, 3)
