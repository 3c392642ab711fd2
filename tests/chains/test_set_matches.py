"""The ids of the document rules that a line stands for: in its comment, or on the member of its set."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from dockerfw.chains.set_matches import rule_ids_of
from dockerfw.iptables.model import Rule
from dockerfw.simulation.surroundings import IpSet

NAME = "dockerfw4-s0123456789abcdef0123"
MEMBERS = ('203.0.113.0/24 packets 0 bytes 0 comment "a1c2 k3f9"', '203.0.113.5 comment "b2d3"')
SETS = {
    NAME: IpSet(NAME, "hash:net", MEMBERS, "family inet"),
    "f2b-sshd": IpSet("f2b-sshd", "hash:net", MEMBERS, "family inet"),
}


@pytest.mark.parametrize(
    ("match", "ids"),
    [
        (f"-m set --match-set {NAME} src", ("b2d3",)),
        (f"-p tcp -m tcp --dport 22 -m set --match-set {NAME} src", ("b2d3",)),
        (f'-m set --match-set {NAME} src -m comment --comment "dockerfw:zzzz"', ("zzzz",)),
        (f"-m set --match-set {NAME} dst", ()),
        ("-m set --match-set dockerfw4-s0000000000000000aaaa src", ()),
        ("-m set --match-set f2b-sshd src", ()),
        ("-s 203.0.113.5/32", ()),
    ],
)
def test_the_ids_of_a_line_for_a_source(match: str, ids: tuple[str, ...]) -> None:
    line = Rule("filter", "FILTERS", None, f"-A FILTERS {match} -j RETURN", 1)
    assert rule_ids_of(line, ip_address("203.0.113.5"), SETS) == ids


def test_all_rules_with_the_network_are_named() -> None:
    line = Rule("filter", "FILTERS", None, f"-A FILTERS -m set --match-set {NAME} src -j RETURN", 1)
    assert rule_ids_of(line, ip_address("203.0.113.6"), SETS) == ("a1c2", "k3f9")
    assert rule_ids_of(line, ip_address("192.0.2.1"), SETS) == ()
