"""Long chains: joining consecutive rules and skipping rules changes no verdict."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.runs import cut_segments
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import simulate
from tests.simulation.hosts import TCP, filtered, packet, prepared

LAST = 60


@st.composite
def small_sets(draw: st.DrawFn) -> AddressSet:
    """Draw a few intervals out of 60 addresses."""
    starts = draw(st.lists(st.tuples(st.integers(0, LAST), st.integers(0, 9)), max_size=3))
    return AddressSet.from_intervals(4, [(start, min(start + size, LAST)) for start, size in starts])


@given(st.lists(small_sets(), max_size=12))
def test_segments_belong_to_the_first_rule_with_the_address(sources: list[AddressSet]) -> None:
    found = cut_segments(sources)
    named = {value: place for first, last, place in found for value in range(first, last + 1)}
    first = {
        value: next((place for place, one in enumerate(sources) if one.holds(value)), None)
        for value in range(LAST + 1)
    }
    assert named == {value: place for value, place in first.items() if place is not None}
    assert all(one[1] < other[0] for one, other in pairwise(found))


CONDITIONS = ["", "-p tcp", "-p tcp --dport 22", "-p udp", "-i eth0", "-i docker0", "-p tcp --sport 5"]
ENDS = ["-j DROP", "-j DROP", "-j ACCEPT", "-j REJECT", "-j RETURN", "-j LOG", "-j A", "-j MARK --set-mark 1"]


@st.composite
def lines(draw: st.DrawFn, chain: str) -> str:
    """Draw a rule for one of 16 sources or a network of some of them."""
    source = f"-s 203.0.113.{draw(st.integers(0, 15))}/{draw(st.sampled_from([32, 32, 30, 29]))}"
    condition = draw(st.sampled_from([*CONDITIONS, "-m mark --mark 1"]))
    end = draw(st.sampled_from(ENDS if chain == "INPUT" else ENDS[:6]))
    return f"-A {chain} {source} {condition} {end}"


@settings(max_examples=80)
@given(st.lists(lines("INPUT"), min_size=20, max_size=40), st.lists(lines("A"), max_size=25))
def test_many_sources_get_the_same_verdicts_as_single_packets(own: list[str], called: list[str]) -> None:
    compiled = prepared(filtered(":A -", ":INPUT DROP", *own, *called))
    service = Service(4, TCP, packet().destination, 22, "eth0")
    found = simulate_service(compiled, service)
    for last in range(17):
        source = IPv4Address(f"203.0.113.{last}")
        verdict = simulate(compiled, service.packet(source)).verdict
        assert [answer for part, answer in found.parts if source in part] == [verdict]


def simulate_list(count: int, *extra: str) -> Reach:
    """Return which sources reach port 22 after a list of refused addresses."""
    refused = [f"-A INPUT -s 10.0.{number // 256}.{number % 256} -j DROP" for number in range(count)]
    return simulate_service(
        prepared(filtered(*refused, *extra)), Service(4, TCP, packet().destination, 22, "eth0")
    )


def test_each_rule_of_a_long_list_decides_about_its_own_address() -> None:
    found = simulate_list(600, "-A INPUT -s 10.0.0.0/8 -j ACCEPT", "-A INPUT -p tcp --dport 22 -j REJECT")
    assert len(found.parts) == 602
    assert found.passes == AddressSet.of(4, ["10.0.0.0/8"]).difference(
        AddressSet.from_intervals(4, [(10 << 24, (10 << 24) + 599)])
    )
    assert not found.unknown
    steps = {str(part.cidrs()[0]): verdict.step for part, verdict in found.parts}
    step = steps["10.0.1.0/32"]
    assert step is not None
    assert (step.chain, step.number) == ("INPUT", 257)


def test_only_the_first_rule_counts_if_a_source_is_listed_twice() -> None:
    found = simulate_list(300, *(f"-A INPUT -s 10.0.0.{number} -j DROP" for number in range(20)))
    assert len(found.parts) == 301


def test_each_undecided_rule_of_a_long_list_is_named() -> None:
    undecided = [f"-A INPUT -s 203.0.113.{number} -p tcp --sport 5 -j DROP" for number in range(5)]
    found = simulate_list(0, *undecided)
    reasons = {str(part.cidrs()[0]): verdict.reason for part, verdict in found.parts}
    assert reasons["203.0.113.3/32"] == "rule 4 of INPUT in filter: cannot tell whether source port is 5"
    assert len(found.parts) == 6


def test_each_undecided_return_rule_is_named() -> None:
    found = simulate_list(
        0,
        "-A INPUT -s 203.0.113.15 -p tcp --sport 5 -j RETURN",
        "-A INPUT -s 203.0.113.8/29 -p tcp --sport 5 -j RETURN",
        "-A INPUT -s 203.0.113.9 -j DROP",
    )
    assert [(str(part.cidrs()[0]), verdict.reason) for part, verdict in found.parts if verdict.reason] == [
        ("203.0.113.9/32", "rule 2 of INPUT in filter: cannot tell whether source port is 5")
    ]


def test_an_unknown_client_port_matters_for_listed_sources_only() -> None:
    found = simulate_list(20, "-A INPUT -s 192.0.2.0/24 -p tcp --sport 5 -j DROP")
    assert found.unknown == AddressSet.of(4, ["192.0.2.0/24"])


def test_the_address_after_a_listed_one_gets_its_own_rule() -> None:
    simulate_list = filtered("-A INPUT -s 2001:db8:9::5 -j ACCEPT", *["-A INPUT -j ACCEPT"] * 3)
    compiled = prepared(simulate_list, 6)
    service = Service(6, TCP, packet(6).destination, 22, "eth0")
    for address, number in (("2001:db8:9::4", 2), ("2001:db8:9::5", 1), ("2001:db8:9::6", 2), ("ffff::", 2)):
        step = simulate(compiled, service.packet(IPv6Address(address))).verdict.step
        assert step is not None
        assert step.number == number, address
