"""The dockerfw rules that allow given sources, found in the lines that the renderer writes."""

from __future__ import annotations

import pytest

from dockerfw.chains.render import render_restore
from dockerfw.document.document import make_document, validate_rule
from dockerfw.document.values import Settings
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.allowing_rules import AllowingRules
from dockerfw.simulation.addresses import AddressSet

RULES = (
    {"id": "ssh1", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "192.0.2.0/24"},
    {"id": "ssh2", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "198.51.100.7"},
    {"id": "shop", "scope": "container", "protocol": "tcp", "ports": ["8080", "9000-9010"]},
    {"id": "inner", "scope": "container", "protocol": "tcp", "ports": ["80"], "port_kind": "container"},
    {"id": "office", "scope": "both", "source": "203.0.113.0/24"},
    {"id": "both", "scope": "both", "protocol": "udp", "ports": ["53"]},
    {"id": "wide", "scope": "host", "protocol": "tcp", "ports": [str(port) for port in range(7000, 7020)]},
    {"id": "six1", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "2001:db8::/32"},
    {"id": "off1", "scope": "host", "protocol": "tcp", "ports": ["22"], "enabled": False},
)
DOCUMENT = make_document(
    Settings(external_interfaces=("ens33",)), tuple(validate_rule(rule) for rule in RULES)
)
DOCKER = "*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n"
TCP, UDP = 6, 17
ALL_SOURCES = AddressSet.everything(4)


@pytest.fixture(scope="module")
def allowances() -> AllowingRules:
    return AllowingRules(parse_restore(DOCKER + render_restore(DOCUMENT, 4)), 4)


@pytest.mark.parametrize(
    ("protocol", "dialled", "inner", "found"),
    [
        (TCP, 22, None, {"ssh1", "ssh2", "office"}),
        (TCP, 23, None, {"office"}),
        (TCP, 7019, None, {"wide", "office"}),
        (UDP, 53, None, {"both", "office"}),
        (UDP, 53, 5353, {"both", "office"}),
        (TCP, 8080, 8000, {"shop", "office"}),
        (TCP, 9005, 90, {"shop", "office"}),
        (TCP, 8081, 80, {"inner", "office"}),
        (TCP, 80, 8081, {"office"}),
        (TCP, 8080, None, {"office"}),
    ],
)
def test_the_rules_for_a_port(
    allowances: AllowingRules, protocol: int, dialled: int, inner: int | None, found: set[str]
) -> None:
    assert set(allowances.find_allowing(ALL_SOURCES, protocol, dialled, inner)) == found


def test_only_rules_for_the_given_sources(allowances: AllowingRules) -> None:
    some = AddressSet.of(4, ["192.0.2.0/28", "10.0.0.0/8"])
    assert allowances.find_allowing(some, TCP, 22, None) == ("ssh1",)
    assert allowances.find_allowing(AddressSet.nothing(4), TCP, 22, None) == ()


def test_the_other_family_has_its_own() -> None:
    six = AllowingRules(parse_restore(DOCKER + render_restore(DOCUMENT, 6), family=6), 6)
    assert six.find_allowing(AddressSet.everything(6), TCP, 22, None) == ("six1",)
    # On the host docker-proxy takes it for containers without an IPv6 address.
    assert six.find_allowing(AddressSet.everything(6), TCP, 8080, None) == ("shop",)
