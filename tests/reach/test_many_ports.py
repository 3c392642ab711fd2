"""Hosts with thousands of published ports: the answers without any shortcut, and time in proportion."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerfw.chains import packet_classes
from dockerfw.chains.after_load import filter_after_load
from dockerfw.chains.names import is_own_chain
from dockerfw.chains.packet_classes import TooManyClasses, list_classes
from dockerfw.document.document import make_document, validate_rule
from dockerfw.document.values import Document, Settings
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach import container_offers
from dockerfw.reach.differences import find_differences
from dockerfw.reach.exposure import ExposureRow, expose
from dockerfw.reach.offers import Offer
from dockerfw.simulation import chains
from dockerfw.simulation.chains import CompiledChain, Item
from dockerfw.simulation.simulate import prepare
from tests.simulation.hosts import HOST

ETH0 = HOST.interfaces[1]
INNER: Mapping[Family, str] = {4: "172.17.0", 6: "fd00:17:"}
FIRST = 9_000
PORTS = range(10_000, 22_000, 3)

Publishing = tuple[int, int, int]
"""The published port, the container's number, and the port inside."""


def ruleset(family: Family, published: list[Publishing], *others: str) -> Ruleset:
    """Write what Docker writes for published ports; `others` are more rules of the filter table."""
    separator = "." if family == 4 else ":"
    inside = [(port, f"{INNER[family]}{separator}{number}", inner) for port, number, inner in published]
    target = "{}:{}" if family == 4 else "[{}]:{}"
    lines = [
        "*nat",
        ":DOCKER - [0:0]",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        *(
            f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport {port} -j DNAT --to-destination "
            f"{target.format(address, inner)}"
            for port, address, inner in inside
        ),
        "COMMIT",
        "*filter",
        ":FORWARD DROP [0:0]",
        ":DOCKER - [0:0]",
        ":DOCKER-USER - [0:0]",
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -o docker0 -j DOCKER",
        *(
            f"-A DOCKER -d {address} ! -i docker0 -o docker0 -p tcp -m tcp --dport {inner} -j ACCEPT"
            for _, address, inner in inside
        ),
        *others,
        "COMMIT",
    ]
    return parse_restore("\n".join(lines), family=family)


def exposed(rulesets: Mapping[Family, Ruleset], ports: range) -> tuple[ExposureRow, ...]:
    prepared = {family: prepare(each, HOST, family) for family, each in rulesets.items()}
    offers = [Offer("tcp", port, None, "", FAMILIES, "container", "", "") for port in ports]
    return expose(offers, prepared, [ETH0])


def list_everywhere(chain: CompiledChain, item: Item, *ignored: object) -> None:
    """List a rule for every packet, as if no condition had values."""
    chain._general.append((item.position, item))


MATCHES = (
    "-p tcp -m tcp --dport 9001",
    "-p tcp -m tcp --dport 9000:9003",
    "-p tcp -m multiport --dports 80,9002",
    "-p tcp -m conntrack --ctorigdstport 9002 --ctdir ORIGINAL",
    "-p tcp -m conntrack --ctorigdstport 9000:9001",
    "-p tcp -m tcp --dport 80 -m conntrack --ctorigdstport 9003",
    "-i docker0",
    "-i eth0 -p udp",
    "",
)
SOURCES: Mapping[Family, str] = {4: "-s 203.0.113.0/24", 6: "-s 2001:db8:9::/48"}
ENDS = ("ACCEPT", "DROP", "RETURN", "LOG")


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, str, str, bool]:
    """Draw a chain, a match, a target, and whether the rule is for some sources only."""
    chain = draw(st.sampled_from(("DOCKER-USER", "DOCKER", "INPUT", "FORWARD")))
    return chain, draw(st.sampled_from(MATCHES)), draw(st.sampled_from(ENDS)), draw(st.booleans())


publishing = st.lists(
    st.tuples(st.integers(FIRST, FIRST + 5), st.integers(2, 4), st.sampled_from((80, 81, 9_001))), max_size=8
)


def drawn(published: list[Publishing], others: list[tuple[str, str, str, bool]]) -> dict[Family, Ruleset]:
    found: dict[Family, Ruleset] = {}
    for family in FAMILIES:
        lines = [
            f"-A {chain} {SOURCES[family] if some else ''} {match} -j {end}"
            for chain, match, end, some in others
        ]
        found[family] = ruleset(family, published, *lines)
    return found


@settings(max_examples=60, deadline=None)
@given(publishing, st.lists(rules(), max_size=12))
def test_skipping_rules_changes_no_row(
    published: list[Publishing], others: list[tuple[str, str, str, bool]]
) -> None:
    rulesets = drawn(published, others)
    quick = exposed(rulesets, range(FIRST, FIRST + 6))
    with patch.object(CompiledChain, "_index", list_everywhere):
        assert quick == exposed(rulesets, range(FIRST, FIRST + 6))


KIND = "container"
DOCUMENT = make_document(
    Settings(external_interfaces=("eth0",)),
    tuple(
        validate_rule(rule)
        for rule in (
            {"id": "some", "scope": "both", "protocol": "tcp", "ports": ["9001-9002"]},
            {"id": "inner", "scope": "container", "protocol": "tcp", "ports": ["80"], "port_kind": KIND},
            {"id": "here", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "203.0.113.0/24"},
        )
    ),
)


def compared(rulesets: Mapping[Family, Ruleset], document: Document) -> list[tuple[str, str]]:
    return [(each.kind, each.sentence) for each in find_differences(rulesets, document)]


@settings(max_examples=40, deadline=None)
@given(publishing, st.lists(rules(), max_size=6))
def test_ports_in_dockers_chains_change_no_sentence_about_packets(
    published: list[Publishing], others: list[tuple[str, str, str, bool]]
) -> None:
    # Docker's chains hold no more here than what Docker writes for the published ports.
    own = [each for each in others if each[0] != "DOCKER"]
    quick = compared(drawn(published, own), DOCUMENT)
    with patch.object(packet_classes, "chain_owner", lambda *_: "other"):
        assert quick == compared(drawn(published, own), DOCUMENT)


def test_a_chain_that_dockers_chain_shares_with_others_counts() -> None:
    ports = ["-A INPUT -j DOCKER", "-A DOCKER -p tcp -m tcp --dport 777 -j DROP"]
    found = packet_classes.list_classes([ruleset(4, [], *ports)], 4)
    assert any(kind.ports == (777, 777) for kind in found)


@pytest.mark.parametrize("inside", ["one container", "one inner port"])
def test_a_packet_meets_few_of_the_rules_for_many_ports(inside: str) -> None:
    many = 250
    published = [
        (FIRST + number, 2, 1_000 + number) if inside == "one container" else (FIRST + number, 2 + number, 80)
        for number in range(many)
    ]
    offered: list[int] = []
    list_candidates = CompiledChain._candidates

    def counted(chain: CompiledChain, *values: int | None) -> tuple[Item, ...]:
        found = list_candidates(chain, *values)
        offered.append(len(found))
        return found

    with patch.object(CompiledChain, "_candidates", counted):
        found = exposed({4: ruleset(4, published)}, range(FIRST, FIRST + 20))
    assert all(row.level == "anywhere" for row in found)
    assert max(offered) < 20


def test_published_ports_are_no_classes_of_their_own() -> None:
    def count(number: int) -> int:
        live = ruleset(4, [(FIRST + each, 2, FIRST + each) for each in range(number)])
        return len(packet_classes.list_classes([live], 4, ("eth0",)))

    assert count(500) == count(1)


def test_a_chain_that_no_packet_enters_is_not_compiled() -> None:
    live = ruleset(4, [(FIRST, 2, 80)], ":mine - [0:0]", "-A mine -p tcp -m tcp --dport 1 -j DROP")
    compiled: list[str] = []
    compile_rule = chains._compile

    def noted(rule: object, *rest: object) -> object:
        compiled.append(rule.chain)  # type: ignore[attr-defined]
        return compile_rule(rule, *rest)  # type: ignore[arg-type]

    with patch.object(chains, "_compile", noted):
        (row,) = exposed({4: live}, range(FIRST, FIRST + 1))
    assert row.level == "anywhere"
    assert {"DOCKER", "FORWARD"} <= set(compiled)
    assert "mine" not in compiled


def test_rules_for_too_many_ports_are_not_read_to_the_end() -> None:
    allowed = [validate_rule({"scope": "host", "protocol": "tcp", "ports": [str(port)]}) for port in PORTS]
    document = make_document(Settings(external_interfaces=("eth0",)), tuple(allowed))
    after = filter_after_load(ruleset(4, []), document, 4)
    with pytest.raises(TooManyClasses):
        list_classes((after,), 4, ("eth0",))
    rules = [rule for chain in after.tables["filter"].chains.values() for rule in chain.rules]
    assert sum(rule._reading is None for rule in rules) > len(PORTS) // 4


def test_ports_in_chains_of_dockerfw_are_found_without_reading_their_lines() -> None:
    allowed = [
        validate_rule({"scope": scope, "protocol": protocol, "ports": ports, "to": to})
        for scope in ("both", "container")
        for protocol in ("tcp", "udp", "sctp")
        for ports in (["22"], ["80", "8000-8010"], [str(port) for port in PORTS[:40]])
        for to in ("", "192.0.2.1")
    ]
    document = make_document(Settings(external_interfaces=("eth0",)), tuple(dict.fromkeys(allowed)))
    after = filter_after_load(ruleset(4, []), document, 4)
    found: dict[str, set[tuple[int, int]]] = {}
    container_offers._add_named(after, found, set())
    rules = [
        rule
        for chain in after.tables["filter"].chains.values()
        if is_own_chain(chain.name)
        for rule in chain.rules
        if "port" in rule.text and " -g " not in rule.text
    ]
    assert len(rules) > 100
    assert all(rule._reading is None for rule in rules)
    slow: dict[str, set[tuple[int, int]]] = {}
    with patch.object(container_offers, "read_port_line", return_value=None):
        container_offers._add_named(after, slow, set())
    assert found == slow
    assert {(22, 22), (8000, 8010)} < found["tcp"]


def test_lines_that_stay_are_read_once_for_before_and_after() -> None:
    rules = tuple(
        validate_rule({"scope": "both", "protocol": "tcp", "ports": [str(port)]}) for port in PORTS[:40]
    )
    after = filter_after_load(ruleset(4, []), make_document(Settings(), rules), 4)
    found: dict[str, set[tuple[int, int]]] = {}
    read: set[str] = set()
    container_offers._add_named(after, found, read)
    with patch.object(container_offers, "read_port_line", side_effect=AssertionError):
        container_offers._add_named(after, found, read)
