"""One port against one rule, whichever of its two ports the rule counts by."""

from __future__ import annotations

import pytest

from dockerfw.document.rule_ports import applies_to_port, includes_port
from dockerfw.document.values import DocumentRule

WEB = DocumentRule("web1", "both", protocol="tcp", ports=("80", "8000-8010"))
INSIDE = DocumentRule("web2", "container", protocol="tcp", ports=("80",), port_kind="container")
ALL_UDP = DocumentRule("udp1", "host", protocol="udp")
EVERYTHING = DocumentRule("all1", "both")


@pytest.mark.parametrize(
    ("port", "included"), [(80, True), (81, False), (7999, False), (8000, True), (8010, True)]
)
def test_ports_and_both_ends_of_ranges_are_included(port: int, included: bool) -> None:
    assert includes_port(WEB, port) is included
    assert includes_port(ALL_UDP, port)


@pytest.mark.parametrize(
    ("rule", "protocol", "port", "inner", "applies"),
    [
        (WEB, "tcp", 8005, (), True),
        (WEB, "tcp", 8080, (80,), False),
        (WEB, "udp", 80, (), False),
        (INSIDE, "tcp", 8080, (80,), True),
        (INSIDE, "tcp", 80, (8080,), False),
        (INSIDE, "tcp", 80, (), False),
        (ALL_UDP, "udp", 53, (), True),
        (ALL_UDP, "tcp", 53, (), False),
        (EVERYTHING, "sctp", 9, (), True),
    ],
)
def test_protocol_and_the_port_that_counts_decide(
    rule: DocumentRule, protocol: str, port: int, inner: tuple[int, ...], applies: bool
) -> None:
    assert applies_to_port(rule, protocol, port, inner) is applies
