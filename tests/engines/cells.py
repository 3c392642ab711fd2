"""The checks of the engine matrix. Each row tests one path and yields what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from dockerfw.chains.kernel_state import read_kernel_state
from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.messages.snapshot_values import drift_of, listening_of, surroundings_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.reach.exposure import ExposureRow, expose
from dockerfw.reach.offers import find_offers
from dockerfw.reach.question import Question, read_question
from dockerfw.simulation.simulate import prepare, simulate
from tests.engines.world import (
    DOCUMENT,
    FAMILY,
    FIRST_CLIENT,
    FIRST_HOST,
    SECOND,
    SECOND_CLIENT,
    SECOND_HOST,
    Way,
    World,
)
from tests.rig.connections import Verdict, fetch, try_port
from tests.rig.lab import EXTERNAL, NEIGHBOUR, NEIGHBOUR_6
from tests.rig.lab_documents import allow
from tests.rig.namespace import FAMILIES, Family, Namespace

Problems = Iterator[str]
REFUSED = ("prohibited", "silent")
# Containers and what they listen on; only `web` publishes it.
DIRECT = (("plain", 81), ("web", 80), ("beside", 80), ("shop-cache-1", 80))
DIALLED = (22, 23, 83, 84, 5433, 8080, 8081, 8084, 8090)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its words in the table, by which ways it can be asked, and who asks.

    What stands on rules for `containers` cannot count as ok where these are said to have no effect.
    """

    words: str
    ask: Callable[[World, Way], Problems]
    ways: tuple[Way, ...] = ("ipv4", "proxy", "own")
    containers: bool = False


def answers(space: Namespace, address: str, port: int, name: str, source: str | None = None) -> Problems:
    """Ask a web server, which has to answer with its name."""
    met = fetch(space, address, port, source=source)
    if met != name:
        yield f"{address} port {port} should answer {name!r} to {space.label}, and answers {met!r}"


def refused(space: Namespace, address: str, port: int, source: str | None = None) -> Problems:
    """Dial a port, which has to be refused."""
    met = try_port(space, address, port, source=source)
    if met not in REFUSED:
        yield f"{address} port {port} should be refused to {space.label}, and is {met}"


def default_bridge(world: World, way: Way) -> Problems:
    """Of two published ports one is allowed; containers reach each other and the world."""
    family = FAMILY[way]
    yield from answers(world.client, FIRST_HOST[family], 8080, "web")
    yield from refused(world.client, FIRST_HOST[family], 8081)
    yield from _from_inside(world, way, "web", "other")


def user_network(world: World, way: Way) -> Problems:
    """A port published from a network of its own is allowed to one source."""
    family = FAMILY[way]
    yield from answers(world.client, FIRST_HOST[family], 8084, "inblue", FIRST_CLIENT[family])
    neighbour = NEIGHBOUR if family == 4 else NEIGHBOUR_6
    yield from refused(world.client, FIRST_HOST[family], 8084, source=neighbour)
    yield from _from_inside(world, way, "inblue", "beside")


def compose_project(world: World, way: Way) -> Problems:
    """Of a project's published ports one is allowed; its services reach each other and the world."""
    family = FAMILY[way]
    yield from answers(world.client, FIRST_HOST[family], 8090, "front")
    yield from refused(world.client, FIRST_HOST[family], 5433)
    yield from _from_inside(world, way, "shop-front-1", "shop-cache-1", "cache")


def host_network(world: World, way: Way) -> Problems:
    """Of two containers on the host's network one is allowed, as a port of the host is."""
    family = FAMILY[way]
    yield from answers(world.client, FIRST_HOST[family], 83, "inside")
    yield from refused(world.client, FIRST_HOST[family], 84)


def host_ports(world: World, way: Way) -> Problems:
    """Of two ports of the host one is allowed."""
    address = FIRST_HOST[FAMILY[way]]
    if (met := try_port(world.client, address, 22)) != "connected":
        yield f"{address} port 22 should be reachable, and is {met}"
    yield from refused(world.client, address, 23)


def direct_route(world: World, way: Way) -> Problems:
    """Packets routed straight to a container's address are refused, published or not."""
    dialled = [(world.client, FIRST_CLIENT[FAMILY[way]], EXTERNAL, name, port) for name, port in DIRECT]
    for (_, _, _, name, port), met in zip(dialled, _dial(world, FAMILY[way], dialled), strict=True):
        if met not in REFUSED:
            yield f"{name} port {port} should be refused straight to its address, and is {met}"


def several_interfaces(world: World, way: Way) -> Problems:
    """Both external interfaces are guarded alike; one that is not external is not guarded for containers."""
    family = FAMILY[way]
    for space, _, host, _ in world.clients(family):
        yield from answers(space, host, 8080, "web")
        yield from refused(space, host, 8081)
        yield from refused(space, host, 23)
        yield from answers(space, host, 83, "inside")
    yield from refused(world.second, SECOND_HOST[family], 8084)
    if way != "proxy":
        yield from _reaches_out(world, "web", SECOND_CLIENT[family])
        with world.loaded({**DOCUMENT, "settings": {"external_interfaces": [EXTERNAL]}}):
            yield from refused(world.client, FIRST_HOST[family], 8081)
            yield from answers(world.second, SECOND_HOST[family], 8081, "other")


def foreign_rules(world: World, way: Way) -> Problems:
    """Every line that is not ours is as it was before the load, in every table."""
    family = FAMILY[way]
    before, now = world.before[family], world.foreign(family)
    yield from (f"gone: {line}" for line in before if line not in now)
    yield from (f"new: {line}" for line in now if line not in before)
    if before != now:
        yield "the lines that are not ours are not what they were"


def in_force(world: World, way: Way) -> Problems:
    """The plan is empty, there is no drift, and our anchors are first."""
    family = FAMILY[way]
    live = world.lab.live()
    if not world.lab.plan().empty:
        yield f"the plan is not empty: {world.lab.plan().families[family]}"
    state = read_kernel_state(live).families[family]
    wanted = {EXTERNAL: "first", SECOND: "first"}
    if (state.host_anchor, dict(state.container_anchors)) != ("first", wanted):
        yield f"anchors: {state.host_anchor}, {dict(state.container_anchors)}"
    seen = look(world)
    rulesets = world.lab.live()
    found = drift_of(seen, rulesets, world.lab.document, world.lab.revision).findings
    yield from (finding.message for finding in found if finding.family in (family, None))
    yield from (str(error) for error in seen.errors)


def told(world: World, way: Way) -> Problems:
    """Exposure and trace say of each port what becomes of a real packet."""
    family = FAMILY[way]
    seen, live = look(world), world.lab.live()
    around, listening = surroundings_of(seen), listening_of(seen, live)
    prepared = {each: prepare(live[each], around, each) for each in FAMILIES}
    ways = outside_interfaces(Settings(external_interfaces=(EXTERNAL, SECOND)), around)
    rows = expose(find_offers(listening), prepared, ways)
    by_port = {row.offer.port: row for row in rows}
    if missing := set(DIALLED) - set(by_port):
        yield f"exposure does not list {missing}"
        return
    for space, source, host, interface in world.clients(family):
        for port in DIALLED:
            passes = try_port(space, host, port, source=source) == "connected"
            packet = read_question(
                Question(source=source, destination=host, port=str(port), interface=interface), around
            ).packet
            verdict = simulate(prepared[family], packet).verdict
            if (verdict.kind == "ACCEPT") != passes:
                yield f"trace of {source} to {host} port {port} says {verdict}, and passes: {passes}"
            yield from _row_agrees(by_port[port], family, source, passes)
    if way != "proxy":
        yield from _trace_agrees(world, family)
        # Whether Docker itself lets anybody go straight to a container differs between engines.
        with world.loaded({**DOCUMENT, "rules": [allow("container", 80, 81, port_kind="container")]}):
            yield from _trace_agrees(world, family)


def _trace_agrees(world: World, family: Family) -> Problems:
    """Go straight to containers, and compare with the trace."""
    around, live = surroundings_of(look(world)), world.lab.live()[family]
    prepared = prepare(live, around, family)
    clients = world.clients(family)
    dialled = [(space, source, by, *to) for space, source, _, by in clients for to in DIRECT]
    for (_, source, interface, name, port), met in zip(dialled, _dial(world, family, dialled), strict=True):
        address = world.address(name, family)
        asked = Question(source=source, destination=address, port=str(port), interface=interface)
        verdict = simulate(prepared, read_question(asked, around).packet).verdict
        if (verdict.kind == "ACCEPT") != (met == "connected"):
            yield f"trace of {source} to {name} port {port} says {verdict}, and it is {met}"


def _dial(
    world: World, family: Family, dialled: Sequence[tuple[Namespace, str, str, str, int]]
) -> list[Verdict]:
    """Dial containers by their addresses, all at once, since most wait for an answer that does not come."""

    def dial(asked: tuple[Namespace, str, str, str, int]) -> Verdict:
        space, source, _, name, port = asked
        return try_port(space, world.address(name, family), port, source=source)

    with ThreadPoolExecutor(max_workers=len(dialled)) as pool:
        return list(pool.map(dial, dialled))


def _row_agrees(row: ExposureRow, family: Family, source: str, passes: bool) -> Problems:
    if row.level == "unknown":
        yield f"exposure cannot tell about port {row.offer.port}"
    for who in row.access:
        if who.family == family and (ip_address(source) in who.passes) != passes:
            yield f"exposure of port {row.offer.port} to {source} is {not passes}, and passes: {passes}"


def look(world: World) -> Snapshot:
    """Look at the host as the root worker does."""
    with world.lab.docker.entered():
        return observe("lab", docker_socket=Path(world.lab.docker.socket.removeprefix("unix://")))


def _from_inside(world: World, way: Way, container: str, other: str, name: str = "") -> Problems:
    if way == "proxy":
        return
    family = FAMILY[way]
    address = world.address(other, family)
    met = world.lab.docker.fetch_from(container, address, 80)
    if met != (name or other):
        yield f"{container} should reach {other} at {address}, and gets {met!r}"
    yield from _reaches_out(world, container, FIRST_CLIENT[family])


def _reaches_out(world: World, container: str, address: str) -> Problems:
    met = world.lab.reach_out(container, address)
    if not met.startswith("outside "):
        yield f"{container} should reach {address} outside, and gets {met!r}"


PACKETS: Mapping[str, Row] = {
    "bridge": Row(
        "default bridge: allowed and refused ports, between containers, outgoing",
        default_bridge,
        containers=True,
    ),
    "network": Row(
        "`docker network create`: the same, allowed from one source", user_network, containers=True
    ),
    "compose": Row("Compose project: the same", compose_project, containers=True),
    "host-network": Row("container on the host's network", host_network),
    "host": Row("the host's own ports", host_ports),
    "direct": Row("straight to a container's address", direct_route, ("ipv4", "own"), containers=True),
    "interfaces": Row("two external interfaces, and an internal one", several_interfaces, containers=True),
}
STATES: Mapping[str, Row] = {
    "foreign": Row("every line of Docker unchanged", foreign_rules),
    "in-force": Row("anchors first, plan empty, no drift", in_force),
    "told": Row("exposure and trace agree with packets", told),
}
