"""The simulator: a packet through 10,000 rules, the exposure of 200 ports, thousands of published ports."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from dockerfw.chains.render import render_restore
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.differences import find_differences
from dockerfw.reach.exposure import expose
from dockerfw.reach.offers import Offer
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import Prepared, prepare, simulate
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from scripts.benchmarks.documents import SIZES, make_document
from scripts.benchmarks.measure import Row, best_of, median, milliseconds, up_to

RULES = 10_000
PORTS = 200
PUBLISHED = (300, 3_000)
PACKETS = 200
FIRST_PORT = 1_024

SURROUNDINGS = Surroundings(
    interfaces=(
        HostInterface("lo", (ip_interface("127.0.0.1/8"), ip_interface("::1/128")), True),
        HostInterface("ens33", (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")), True),
        HostInterface(
            "docker0", (ip_interface("172.17.0.1/16"), ip_interface("fd00:17::1/64")), True, kind="bridge"
        ),
    ),
    default_routes={4: ("ens33",), 6: ("ens33",)},
)


def measure_trace(most: int) -> Iterator[Row]:
    """Measure the processor time of compiling, of a packet and of an exposure."""
    for size in up_to(most, SIZES):
        yield from _compile(size)
    for title, write in RULESETS.items() if most >= RULES else ():
        saves = {family: write(family) for family in FAMILIES}
        rulesets = {family: parse_restore(text, family=family) for family, text in saves.items()}
        prepared = {family: prepare(rulesets[family], SURROUNDINGS, family) for family in FAMILIES}
        traces = [_time(partial(_trace, prepared[4], one)) for one in _packets()]
        exposed = _time(partial(_expose, prepared, _ports()))
        yield from [
            milliseconds(f"trace a packet, {title}", RULES, median(traces), aim="at most 20 ms"),
            milliseconds(f"slowest trace, {title}", RULES, max(traces)),
            milliseconds(f"expose {PORTS} ports, {title}", RULES, exposed, aim="at most 1,000 ms"),
        ]
    yield from _measure_published(most)


def _compile(size: int) -> list[Row]:
    """Time what walks through all chains need, and the answer for a single packet with nothing compiled."""
    ruleset = parse_restore(_own(4, size), family=4)
    make = partial(prepare, ruleset, SURROUNDINGS, 4)
    packet = _packets()[0]
    # (A chain is compiled when it is first looked up.)
    calls = [lambda: list(make().chains.values()), lambda: _trace(make(), packet)]
    every, answer = best_of(calls, rounds=3)
    aim = "at most 300 ms" if size == RULES else None
    return [
        milliseconds("compile rules of dockerfw for simulation, one family", size, every, aim=aim),
        milliseconds("answer for one packet, with nothing compiled", size, answer),
    ]


def _measure_published(most: int) -> list[Row]:
    """Measure how the time grows with the ports that Docker publishes; the floor grows with their number."""
    rows = []
    first: tuple[float, float] | None = None
    document = make_document(1)
    for ports in up_to(most, PUBLISHED):
        published = range(FIRST_PORT, FIRST_PORT + ports)
        rulesets = {family: parse_restore(_docker(family, published), family=family) for family in FAMILIES}
        times = (
            _time(partial(_prepare_and_expose, rulesets, published)),
            _time(partial(find_differences, rulesets, document)),
        )
        first = first or times
        names = ("compile and expose published ports", "packets of a first plan with published ports")
        rows += [
            milliseconds(what, ports, each, floor * ports / PUBLISHED[0], aim="at most 1.5 x")
            for what, each, floor in zip(names, times, first, strict=True)
        ]
    return rows


def _prepare_and_expose(rulesets: Mapping[Family, Ruleset], ports: Sequence[int]) -> object:
    return _expose({family: prepare(rulesets[family], SURROUNDINGS, family) for family in FAMILIES}, ports)


def _trace(prepared: Prepared, packet: Packet) -> object:
    return simulate(prepared, packet).steps


def _time(call: Callable[[], object]) -> float:
    """Return the best of three processor times in seconds; nothing here waits."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best


def _expose(prepared: Mapping[Family, Prepared], ports: Sequence[int]) -> object:
    offers = [Offer("tcp", port, None, "", FAMILIES, "process", "bench", "") for port in ports]
    return expose(offers, prepared, [SURROUNDINGS.interfaces[1]])


def _ports() -> range:
    """Choose ports all over the place: half of them are published by containers."""
    return range(FIRST_PORT, FIRST_PORT + 50 * PORTS, 50)


def _packets() -> list[Packet]:
    chance = random.Random(1)  # noqa: S311
    return [
        Packet(
            family=4,
            source=IPv4Address(10 << 24 | chance.randrange(RULES)),
            destination=ip_address("192.0.2.1"),
            protocol=6,
            in_interface="ens33",
            source_port=40_000,
            destination_port=FIRST_PORT + chance.randrange(50 * PORTS),
        )
        for _ in range(PACKETS)
    ]


def _own(family: Family, rules: int = RULES) -> str:
    """Write the rendered rules of a document of this size on a Docker host."""
    return _docker(family) + render_restore(make_document(rules), family, live=None)


def _refused_sources(family: Family) -> str:
    """Write a list of addresses, each logged and dropped, before the host's own rules."""
    lines = [
        f"-A INPUT -s {_source(family, number)} -j {target}"
        for number in range(RULES // 2)
        for target in ("LOG", "DROP")
    ]
    return "\n".join(["*filter", ":INPUT ACCEPT [0:0]", *lines, "COMMIT", _docker(family)])


def _by_hand(family: Family) -> str:
    """Write the rules of a host that admins have extended for years, one kind of rule after the other."""
    shapes: list[Callable[[int], str]] = [
        lambda number: f"-s {_source(family, number)} -p tcp -m tcp --dport {_port(number)} -j ACCEPT",
        lambda number: f"-s {_source(family, number)} -p udp -m udp --dport {_port(number)} -j ACCEPT",
        lambda number: f"-p tcp -m multiport --dports {_port(number)},{_port(number + 7)} -j ACCEPT",
        lambda number: f"-i ens33 -s {_source(family, number)} -m conntrack --ctstate NEW -j DROP",
        lambda number: f"-i tun{number % 10} -s {_source(family, number)} -j DROP",
        lambda number: f"-s {_source(family, number)} -d {_destination(family, number)} -j REJECT",
    ]
    lines = [f"-A INPUT {shapes[number * len(shapes) // RULES](number)}" for number in range(RULES)]
    return "\n".join(["*filter", ":INPUT DROP [0:0]", *lines, "COMMIT", _docker(family)])


def _docker(family: Family, published: Sequence[int] = ()) -> str:
    """Write the chains of a Docker host that publishes these ports, or every second of the usual ones."""
    inner = {4: "172.17.0.2", 6: "fd00:17::2"}[family]
    to = inner if family == 4 else f"[{inner}]"
    published = published or _ports()[::2]
    return "\n".join(
        [
            "*nat",
            ":DOCKER - [0:0]",
            "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
            *(
                f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport {port} -j DNAT --to-destination {to}:{port}"
                for port in published
            ),
            "COMMIT",
            "*filter",
            ":FORWARD DROP [0:0]",
            ":DOCKER - [0:0]",
            ":DOCKER-USER - [0:0]",
            "-A FORWARD -j DOCKER-USER",
            "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -o docker0 -j DOCKER",
            *(
                f"-A DOCKER -d {inner} ! -i docker0 -o docker0 -p tcp -m tcp --dport {port} -j ACCEPT"
                for port in published
            ),
            "COMMIT",
            "",
        ]
    )


def _source(family: Family, number: int) -> str:
    if family == 4:
        return f"{IPv4Address(10 << 24 | number * 7 % RULES)}/32"
    return f"{IPv6Address((0x20010DB8 << 96) | number * 7 % RULES)}/128"


def _destination(family: Family, number: int) -> str:
    return str(IPv4Address(172 << 24 | number) if family == 4 else IPv6Address((0xFD00 << 112) | number))


def _port(number: int) -> int:
    return FIRST_PORT + number % (50 * PORTS)


RULESETS: Mapping[str, Callable[[Family], str]] = {
    "rules of dockerfw": _own,
    "a list of refused sources": _refused_sources,
    "written by hand": _by_hand,
}
