"""A rendering is the same after it was written down and read."""

from __future__ import annotations

import pytest

from dockerfw.chains.names import rule_comment
from dockerfw.chains.render import earlier_rendering, loaded_rendering, render, render_restore
from dockerfw.chains.rendered_rules import read_rendering
from dockerfw.document.document import parse_document
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore

CLEAN = "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n"
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


def test_a_release_without_sets_let_docker_proxys_ipv6_packets_in_by_their_port() -> None:
    web = {"id": "webs", "scope": "container", "protocol": "tcp", "ports": ["8080"]}
    settings = {"containers_reach_host": "allow"}
    document = parse_document({"format": "dockerfw/2", "settings": settings, "rules": [web]})
    for family, expected in ((4, ()), (6, (f"-p tcp -m tcp --dport 8080 {rule_comment('webs')} -j RETURN",))):
        version: Family = 4 if family == 4 else 6
        now = render(document, version).chains["FILTERS-HOST"]
        with_sets = [line for line in now if "--match-set" in line]
        then = earlier_rendering(document, version).chains["FILTERS-HOST"]
        assert len(with_sets) == 2
        assert tuple(line for line in then if line not in now) == expected
        assert not any("--match-set" in line for line in then)
        # What has lines with sets was loaded by a release that writes them.
        live = parse_restore(f"{CLEAN}{render_restore(document, version)}", family=version)
        assert earlier_rendering(document, version, live=live).chains["FILTERS-HOST"] == now


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
