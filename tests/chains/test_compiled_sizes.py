"""The size of compiled rules: in proportion to the document, and a short way for each packet."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from dockerfw.chains.compiled import MOST_DEEP
from dockerfw.chains.dispatch import depth
from dockerfw.chains.render import render
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.document.values import DocumentRule, Group, Scope
from tests.rig.compiled_documents import document, rule

_DESTINATION = re.compile(r"(?:-d|--ctorigdst) (\S+)")
_PORTS = re.compile(r"--(?:dport|ctorigdstport) (\d+)(?::(\d+))?")


def networks(count: int, first: int = 0) -> tuple[str, ...]:
    """Return different addresses of 10.0.0.0/8."""
    numbers = range(first, first + count)
    return tuple(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32" for number in numbers)


def _meets(line: str, port: int, address: str) -> bool:
    """Return True if a line matches a port, and an address if one is given."""
    ports, to = _PORTS.search(line), _DESTINATION.search(line)
    here = not (address and to) or ip_address(address) in ip_network(to[1])
    return here and (ports is None or int(ports[1]) <= port <= int(ports[2] or ports[1]))


def lines_on_the_way(rendering: Rendering, port: int, start: str = "FILTERS", address: str = "") -> int:
    """Return how many lines a TCP packet to a port is compared with, at most, before it is refused."""
    count, chain = 0, start
    while True:
        for line in rendering.chains[chain]:
            count += 1
            meets = _meets(line, port, address)
            if meets and (way := re.search(r"-[gj] (FILTERS\S*)$", line)) and "-p udp" not in line:
                chain = way[1]
                break
        else:
            return count


def length(rendering: Rendering) -> int:
    """Return the number of lines."""
    return sum(map(len, rendering.chains.values()))


@pytest.mark.parametrize("count", [1, 4, 5, 64, 65_536, 65_537, 100_000])
def test_few_sources_are_lines_and_more_are_a_set(count: int) -> None:
    group = Group("many", entries=networks(count))
    ssh = rule("sshd", "host", ["@many"], protocol="tcp", ports="22")
    web = rule("webs", "both", ["@many"], protocol="tcp", ports="443")
    rendering = render(document([ssh, web], [group]), 4)
    if count <= 4:
        assert not rendering.sets
        assert length(rendering) == 8 + 2 * count
        return
    # Rules with the same sources share the set.
    (one,) = rendering.sets
    assert list(one.members) == [network.removesuffix("/32") for network in networks(count)]
    assert length(rendering) == 10
    start = f"-p tcp -m tcp --dport 22 -m set --match-set {one.name} src"
    assert f'{start} -m comment --comment "dockerfw:sshd" -j RETURN' in rendering.chains["FILTERS-HOST"]
    assert render(document([ssh, web], [group]), 6).sets == ()


def test_the_elements_of_several_rules_carry_their_ids() -> None:
    rules = [
        rule(f"rule{at}", "host", [network], protocol="tcp", ports="22")
        for at, network in enumerate(
            (*networks(4), networks(1)[0], "192.0.2.0/24", "0.0.0.0/0", "2001:db8::7/128")
        )
    ]
    rendering = render(document(rules), 4)
    (one,) = rendering.sets
    assert dict(one.members) == {
        "10.0.0.0": ("rule0", "rule4"),
        "10.0.0.1": ("rule1",),
        "10.0.0.2": ("rule2",),
        "10.0.0.3": ("rule3",),
        "192.0.2.0/24": ("rule5",),
    }
    lines = [line for line in rendering.chains["FILTERS-HOST"] if "--dport 22" in line]
    assert lines == [
        '-p tcp -m tcp --dport 22 -m comment --comment "dockerfw:rule6" -j RETURN',
        f"-p tcp -m tcp --dport 22 -m set --match-set {one.name} src -j RETURN",
    ]


@pytest.mark.parametrize(
    ("count", "chains", "most"), [(16, 3, 24), (17, 7, 24), (256, 26, 50), (4096, 350, 50)]
)
@pytest.mark.parametrize("scope", ["both", "host"])
def test_many_groups_are_dispatched(scope: Scope, count: int, chains: int, most: int) -> None:
    rules = [rule(f"r{at:05}", scope, protocol="tcp", ports=str(at * 7 + 1)) for at in range(count)]
    rendering = render(document(rules), 4)
    assert len(rendering.chains) <= chains
    assert (len(rendering.chains) == 3) == (count <= 16)
    assert length(rendering) < count + 2.2 * len(rendering.chains) + 10
    start = "FILTERS" if scope == "both" else "FILTERS-HOST"
    for port in (1, 7 * count // 2, 7 * count - 6, 7 * count, 65535):
        assert lines_on_the_way(rendering, port, start) <= most


@pytest.mark.parametrize("step", [1, 257])
@pytest.mark.parametrize("scope", ["host", "both", "forwarded"])
def test_many_destinations_of_one_port_are_dispatched(scope: Scope, step: int) -> None:
    addresses = [str(ip_address(0x0A000000 + at * step)) for at in range(1000)]
    wanted = [
        rule(f"r{at:04}", scope, networks(1, at), protocol="tcp", ports="443", to=f"{address}/32")
        for at, address in enumerate(addresses)
    ]
    rendering = render(document(wanted), 4)
    assert len(rendering.chains) < 100
    assert length(rendering) < 1250
    start = {"host": "FILTERS-HOST", "both": "FILTERS"}.get(scope, "FILTERS-CONTAINERS")
    for address in (*addresses[::37], addresses[-1], "10.255.0.1", "203.0.113.1"):
        for port in (22, 443):
            assert lines_on_the_way(rendering, port, start, address) <= 70
    # Fewer are not worth a chain.
    assert len(render(document(wanted[:16]), 4).chains) == 3


def test_destinations_that_contain_each_other_are_lines_before_the_narrower_ones() -> None:
    nested = [f"10.0.0.0/{size}" for size in range(8, 32)]
    wanted = [
        rule(f"r{at:04}", "host", networks(1, at), protocol="tcp", ports="443", to=to)
        for at, to in enumerate((*nested, *(f"10.0.{third}.{at}/32" for third in (0, 9) for at in range(9))))
    ]
    rendering = render(document(wanted), 4)
    for address in ("10.0.0.1", "10.0.9.8", "10.0.200.1", "10.9.0.1"):
        about = {each.id for each in wanted if ip_address(address) in ip_network(each.to)}
        assert _rules_on_the_way(rendering, 443, "FILTERS-HOST", address) >= about


def _ranges(dice: random.Random, count: int) -> Sequence[str]:
    pairs = (sorted((dice.randrange(1, 65536), dice.randrange(1, 65536))) for _ in range(count))
    return [f"{first}-{last}" if first < last else str(first) for first, last in pairs]


def test_random_ranges_that_overlap_are_written_once() -> None:
    ranges = _ranges(random.Random(7), 10_000)
    rules = [rule(f"r{at:05}", "both", protocol="tcp", ports=ports) for at, ports in enumerate(ranges)]
    rendering = render(document(rules), 4)
    written = [line for lines in rendering.chains.values() for line in lines if '"dockerfw:' in line]
    assert len(written) == 10_000
    assert length(rendering) < 10_500


def test_ranges_that_cross_a_border_are_in_no_child() -> None:
    rules = [rule(f"r{at:04}", "both", protocol="tcp", ports=str(at)) for at in range(1000, 1064)]
    rules += [rule(f"x{at:04}", "both", protocol="tcp", ports=f"{at}-{at + 3}") for at in range(998, 1064, 5)]
    rules.append(rule("wide", "both", protocol="tcp", ports="1-65535"))
    rendering = render(document(rules), 4)
    written = [line for lines in rendering.chains.values() for line in lines if '"dockerfw:' in line]
    assert len(written) == len(rules)
    # Each port passes the lines of all of its rules.
    for port in (1, 1000, 1015, 1016, 1017, 1032, 1063, 1064, 2000):
        expected = {each.id for each in rules if _has(each, port)}
        assert _rules_on_the_way(rendering, port) >= expected


def _has(each: DocumentRule, port: int) -> bool:
    first, _, last = each.ports[0].partition("-")
    return int(first) <= port <= int(last or first)


def _rules_on_the_way(rendering: Rendering, port: int, start: str = "FILTERS", address: str = "") -> set[str]:
    found, chain = set(), start
    while True:
        for line in rendering.chains[chain]:
            meets = _meets(line, port, address)
            if meets and (named := re.search(r"dockerfw:(\w+)", line)):
                found.add(named[1])
            if meets and (way := re.search(r"-[gj] (FILTERS\S*)$", line)):
                chain = way[1]
                break
        else:
            return found


@pytest.mark.parametrize(("count", "sources", "most"), [(20_000, 5, 150), (2_000, 9, 60)])
def test_groups_with_a_few_sources_are_lines_where_they_are_too_many_for_sets(
    count: int, sources: int, most: int
) -> None:
    rules = [
        rule(f"r{at:05}", "both", networks(sources, at * sources), protocol="tcp", ports=str(at + 1))
        for at in range(count)
    ]
    rendering = render(document(rules), 4)
    assert not rendering.sets
    assert (len(rendering.chains) > count) == (sources > 8)
    assert length(rendering) < count * (sources + 2.5)
    assert depth(rendering.chains, "FILTERS-CONTAINERS") <= MOST_DEEP
    assert lines_on_the_way(rendering, count // 2) <= most


def test_only_the_larger_groups_keep_sets_where_there_are_too_many() -> None:
    rules = [
        rule(f"r{at:05}", "both", networks(64 if at < 50 else 5, at * 64), protocol="tcp", ports=str(at + 1))
        for at in range(1_100)
    ]
    assert len(render(document(rules[:1_000]), 4).sets) == 1_000
    rendering = render(document(rules), 4)
    assert len(rendering.sets) == 50
    assert all(len(one.members) == 64 for one in rendering.sets)


def test_as_many_ports_as_a_rule_can_have_are_dispatched_too() -> None:
    """A rule with many ports is divided, and the rules for one port are one group again."""
    ports = tuple(str(port) for port in range(1000, 1100))
    rules = [
        rule(f"r{at:04}", "both", [network], protocol="tcp", ports=ports[: 100 - at])
        for at, network in enumerate(networks(20))
    ]
    rendering = render(document(rules), 4)
    assert len(rendering.sets) == 16
    assert lines_on_the_way(rendering, 1050) <= 40


def test_allowances_for_the_ports_of_a_limit_come_first() -> None:
    """A limit whose table is full drops what reaches it, so that it must not meet the office's packets."""
    rules = [
        rule("slow", "host", protocol="tcp", ports="22", limit="6/minute"),
        rule("host", "host", ["192.0.2.1/32"], protocol="tcp", ports="22"),
        rule("both", "both", ["192.0.2.2/32"], protocol="tcp", ports=("22", "80")),
        rule("some", "both", ["192.0.2.3/32"], protocol="tcp", ports="20-25"),
        rule("anys", "both", ["192.0.2.4/32"]),
        rule("othe", "both", ["192.0.2.5/32"], protocol="tcp", ports="443"),
        rule("udps", "both", ["192.0.2.6/32"], protocol="udp", ports="22"),
    ]
    rendering = render(document(rules), 4)
    host = [
        found[1] for line in rendering.chains["FILTERS-HOST"] if (found := re.search(r"dockerfw:(\w+)", line))
    ]
    assert set(host[:-1]) == {"host", "both", "some", "anys"}
    assert host[-1] == "slow"
    shared = [
        found[1] for line in rendering.chains["FILTERS"] if (found := re.search(r"dockerfw:(\w+)", line))
    ]
    assert set(shared) == {"both", "some", "anys", "othe", "udps"}


@pytest.mark.parametrize("to", ["2001:db8::/32", "2001:db8::/64", "2001:db8::1/128"])
def test_a_destination_keeps_the_length_of_its_network(to: str) -> None:
    wanted = document([rule("web1", "both", protocol="tcp", ports="443", to=to)])
    (line,) = (line for line in render(wanted, 6).chains["FILTERS"] if "dockerfw:web1" in line)
    assert f"--ctorigdst {to.removesuffix('/128')} --ctorigdstport 443 " in line
