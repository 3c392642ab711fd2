"""Warnings about the interfaces of the settings: what an external bridge and no loopback break."""

from __future__ import annotations

import pytest

from dockerfw.chains import sentences
from dockerfw.chains.interface_warnings import docker_bridges
from dockerfw.chains.plan import plan_changes
from dockerfw.document.values import Document, DocumentRule, Settings
from dockerfw.iptables.parse import parse_save

RULES = (DocumentRule("sshd", "host", protocol="tcp", ports=("22",)),)
HEAD = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
"""
# Docker 20.10 calls DOCKER from FORWARD, Docker 28 from a chain of its own.
OLD = f"{HEAD}-A FORWARD -j DOCKER-USER\n-A FORWARD -o shop0 -j DOCKER\nCOMMIT\n"
NEW = (
    f"{HEAD}:DOCKER-BRIDGE - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-BRIDGE -o shop0 -j DOCKER\nCOMMIT\n"
)


def warned(external: tuple[str, ...], trusted: tuple[str, ...] = ("lo",), save: str = OLD) -> dict[str, str]:
    """Return the messages of a plan by their code."""
    document = Document(Settings(external, trusted), RULES)
    plan = plan_changes(document, {4: parse_save(save)})
    return {warning.code: warning.message for warning in plan.warnings}


@pytest.mark.parametrize("save", [OLD, NEW])
@pytest.mark.parametrize(
    "name", ["docker0", "shop0", "docker_gwbridge", "br-0123456789ab", "docker+", "shop+"]
)
def test_a_bridge_of_dockers_is_no_interface_to_the_internet(name: str, save: str) -> None:
    found = warned(("ens33", name), save=save)
    assert found["bridge-external"] == sentences.bridge_is_external(name)


@pytest.mark.parametrize("name", ["ens33", "br0", "br-lan", "eth+"])
def test_other_interfaces_are_not_warned_about(name: str) -> None:
    assert "bridge-external" not in warned((name,))


@pytest.mark.parametrize(
    ("trusted", "warns"), [((), True), (("wg0",), True), (("lo",), False), (("l+",), False)]
)
def test_loopback_has_to_be_trusted(trusted: tuple[str, ...], warns: bool) -> None:
    assert ("loopback-not-trusted" in warned(("ens33",), trusted)) is warns


def test_bridges_come_from_dockers_rules_and_from_usual_names() -> None:
    names = ("ens33", "docker0", "br-lan", "br-0123456789ab")
    assert docker_bridges([parse_save(OLD)], names) == ("br-0123456789ab", "docker0", "shop0")
