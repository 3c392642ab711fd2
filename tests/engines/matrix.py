"""Run the matrix with one engine and one backend, and record the result of each row.

The order is: reachability without our rules, the load, all rows, the engine's events, all rows again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dockerfw.chains.drift import find_drift
from tests.engines.cells import DIALLED, PACKETS, STATES, Row, refused
from tests.engines.world import DOCUMENT, FAMILY, FIRST_HOST, Way, World
from tests.rig.connections import fetch, try_port
from tests.rig.engines import Engine, versions
from tests.rig.matrix_results import Cell
from tests.rig.namespace import Backend, CommandError, Family, wait_until

LIFE = "life"
ROWS: Mapping[str, str] = {
    **{key: row.words for key, row in (*PACKETS.items(), *STATES.items())},
    LIFE: "all of this again after a new network, new containers and a restart of the engine",
}


Say = Callable[[Cell, tuple[str, ...]], None]


def run_world(
    engine: Engine, backend: Backend, *, own_ipv6: bool, say: Say
) -> tuple[dict[str, str], list[Cell]]:
    """Try everything in one world; return its versions and the cells, of which `say` hears at once."""
    cells: list[Cell] = []
    with World(engine, backend, own_ipv6=own_ipv6) as world:
        found = versions(world.lab)
        for cell, problems in _cells(world):
            say(cell, problems)
            cells.append(cell)
    return found, cells


def _cells(world: World) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    # Over IPv4 both worlds are alike.
    ways: tuple[Way, ...] = ("own",) if world.own_ipv6 else world.ways
    for way in ways:
        _see_all_open(world, FAMILY[way])
    world.load(DOCUMENT)
    for way in ways:
        for key, row in (*STATES.items(), *PACKETS.items()):
            if way in row.ways:
                yield _cell(world, way, key, tuple(row.ask(world, way)), containers=row.containers)
    _live_on(world)
    for way in ways:
        again = [row for key, row in (*STATES.items(), *PACKETS.items()) if key != "foreign"]
        yield _cell(world, way, LIFE, tuple(_all(again, world, way)))


def _all(rows: list[Row], world: World, way: Way) -> Iterator[str]:
    yield from _new_ones_are_refused(world, FAMILY[way])
    for row in rows:
        if way in row.ways:
            yield from row.ask(world, way)


def _see_all_open(world: World, family: Family) -> None:
    """See that each port answers as long as no rule of ours is there: else a refusal would prove nothing."""
    for port in DIALLED:
        met = try_port(world.client, FIRST_HOST[family], port)
        if met != "connected":
            raise CommandError(f"IPv{family} port {port} is {met} before any rule of ours is there")


def _live_on(world: World) -> None:
    """Do to the engine what happens to it in a month."""
    docker = world.lab.docker
    docker.docker("network", "create", "later")
    docker.run_web("new", "--publish=8085:80", "--restart=always", network="later")
    docker.run_web("newer", "--publish=8086:80", "--restart=always")
    docker.docker("restart", "--time=0", "web", "inblue")
    world.compose("restart", "--timeout=0", "front")
    docker.restart_daemon()
    world.await_web("new", "newer")
    wait_until("web answers", lambda: fetch(world.client, FIRST_HOST[4], 8080) == "web")


def _new_ones_are_refused(world: World, family: Family) -> Iterator[str]:
    for port in (8085, 8086):
        yield from refused(world.client, FIRST_HOST[family], port)


def _cell(
    world: World, way: Way, key: str, problems: tuple[str, ...], *, containers: bool = False
) -> tuple[Cell, tuple[str, ...]]:
    column, family = f"{world.engine.name} {world.backend}", FAMILY[way]
    drift = find_drift(world.lab.document, world.lab.revision, world.lab.live())
    said = [finding.message for finding in drift.findings if finding.family == family]
    if said and (problems or containers):
        return Cell(way, key, column, "no", said[0]), problems
    if problems:
        return Cell(way, key, column, "wrong", "; ".join(problems)), problems
    return Cell(way, key, column, "ok"), ()
