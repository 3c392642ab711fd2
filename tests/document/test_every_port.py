"""Which rules open every port, and which of them a change adds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockerfw.document.document import parse_document, to_json_object
from dockerfw.document.every_port import new_every_port_rules, opens_every_port
from dockerfw.document.values import Document, DocumentRule

ALL_TCP = DocumentRule("tcp1", "both", protocol="tcp")


@pytest.mark.parametrize(
    ("protocol", "ports", "opens"),
    [
        ("tcp", (), True),
        ("udp", ("1-65535",), True),
        ("tcp", ("1-1023", "1024-65535"), True),
        ("tcp", ("1-1023", "1025-65535"), False),
        ("tcp", ("22",), False),
        ("tcp", tuple(str(port) for port in range(1, 101)), False),
        ("any", (), True),
        ("icmp", (), False),
        ("gre", (), False),
    ],
)
def test_missing_ports_and_ranges_that_leave_out_none_open_every_port(
    protocol: str, ports: tuple[str, ...], opens: bool
) -> None:
    assert opens_every_port(DocumentRule("rule1", "host", protocol=protocol, ports=ports)) is opens


def test_a_rule_is_new_unless_the_old_rules_already_open_as_much() -> None:
    old = Document(rules=(replace(ALL_TCP, sources=("192.0.2.0/24",)),))
    narrower = replace(ALL_TCP, id="tcp2", scope="host", sources=("192.0.2.7/32",))
    assert new_every_port_rules(None, Document(rules=(ALL_TCP,))) == (ALL_TCP,)
    assert new_every_port_rules(old, old) == ()
    assert new_every_port_rules(old, Document(rules=(narrower,))) == ()
    assert new_every_port_rules(old, Document(rules=(ALL_TCP,))) == (ALL_TCP,)
    assert new_every_port_rules(old, Document(rules=(replace(ALL_TCP, enabled=False),))) == ()
    off = Document(rules=(replace(ALL_TCP, enabled=False),))
    assert new_every_port_rules(off, Document(rules=(ALL_TCP,))) == (ALL_TCP,)


def test_a_document_may_say_all() -> None:
    said = {"format": "dockerfw/1", "rules": [{"scope": "host", "protocol": "tcp", "ports": ["all"]}]}
    silent = {"format": "dockerfw/1", "rules": [{"scope": "host", "protocol": "tcp"}]}
    assert to_json_object(parse_document(said)) == to_json_object(parse_document(silent))
