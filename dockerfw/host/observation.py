"""The snapshot of this host: saves, interfaces, routes, published ports, sessions, sockets, containers, sets.

It changes nothing and guesses nothing: a command that fails is listed in the snapshot with its own message,
and what it would have reported stays empty.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from dockerfw.chains.container_sets import NO_DEFINITIONS, Definitions
from dockerfw.chains.foreign_tables import changes_destinations, foreign_tables, has_filter_chain
from dockerfw.chains.static_sets import StaticSet, hits_by_rule, judge_set, static_sets_named
from dockerfw.chains.ways_in import ON_TOP
from dockerfw.host import sentences
from dockerfw.host.backend import docker_backends, find_backend, kernel_families, legacy_in_use, program
from dockerfw.host.bound_sets import SetsFailed
from dockerfw.host.clock import utc_now
from dockerfw.host.containers import list_containers
from dockerfw.host.docker_proxies import sees_all_processes
from dockerfw.host.multicast import joined_groups
from dockerfw.host.native_rules import list_tables
from dockerfw.host.networks import list_named_bridges
from dockerfw.host.reading import Seen
from dockerfw.host.routes import LIST_ROUTES, default_devices, find_routes, main_routes
from dockerfw.host.runner import Command, CommandFailed, command_path, run, run_all
from dockerfw.host.sessions import Tracked, count_tracked, list_tracked, routing_of, sessions_from_outside
from dockerfw.host.sets import read_named_sets
from dockerfw.host.sockets import LIST_SOCKETS, parse_listening_sockets
from dockerfw.host.static_sets import lacks_ip_set, read_static_sets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import BACKENDS, FAMILIES, Backend, Family, Rule, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.session_groups import SessionGroups
from dockerfw.messages.snapshot_values import containers_from, interface_from, listener_from
from dockerfw.messages.snapshots import MAX_SAVE_CHARACTERS, CommandError, DockerState, Snapshot, saves_digest
from dockerfw.messages.surroundings import (
    MAX_HITS,
    MAX_PUBLISHED,
    MAX_STATIC_SETS,
    Container,
    Interface,
    InterfaceRoute,
    ListeningSocket,
    PublishedPort,
    RuleHits,
    StaticSetState,
)
from dockerfw.reach.bound_sets import bound_members
from dockerfw.reach.container_networks import container_families
from dockerfw.reach.container_sets import container_members
from dockerfw.reach.listening import Listening
from dockerfw.simulation.surroundings import Surroundings

_NAT = re.compile(r"^\*nat\n.*?^COMMIT\n", re.MULTILINE | re.DOTALL)
_DESTINATION = re.compile(r"\[?([0-9A-Fa-f.:]+?)\]?:(\d+)(?:-\d+)?(?:/\d+)?")
_DOCKER_CHAIN = re.compile(r"^:DOCKER(?:-USER)? ", re.MULTILINE)
_LIST_ADDRESSES = Command(("ip", "-json", "-details", "address", "show"))
_LISTINGS = {
    "address": _LIST_ADDRESSES,
    "route4": Command(("ip", "-json", "-4", *LIST_ROUTES)),
    "route6": Command(("ip", "-json", "-6", *LIST_ROUTES)),
}
_LIST_TABLES = Command(("nft", "list", "tables"))
_MAX_FOREIGN_TABLES = 64

Listing = list[dict[str, Any]] | CommandFailed


@dataclass(frozen=True, slots=True)
class Around:
    """What is around the rules: what `ip` lists, nftables' tables, sockets, connections and containers.

    `tables` and `sockets` are as printed; there are no `tables` if nft is not installed.
    """

    listings: Mapping[str, Listing]
    tables: bytes | CommandFailed
    sockets: bytes | CommandFailed
    tracked: Tracked | None
    containers: tuple[Container, ...] | CommandFailed | None


def observe(
    host: str,
    *,
    seen: Seen | None = None,
    around: Around | None = None,
    docker_socket: Path | None = None,
    static_sets: Iterable[StaticSet] = (),
) -> Snapshot:
    """Take a snapshot; `seen` are the rules and `around` the rest, if they were read just now. Never raises.

    Docker is asked for its containers if its socket is given. `static_sets` are those that the rules should
    match, so that the snapshot can tell what one lacks.
    """
    taken_at = utc_now()
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(lambda: around or read_around(docker_socket))
        backend, results = _read_rules(seen)
    found = rest.result()
    listings, tables, containers = found.listings, found.tables, found.containers
    saves = {family: _text(results.get(family, b"")) for family in FAMILIES}
    main: dict[Family, list[dict[str, Any]]] = {
        4: main_routes(_items(listings["route4"])),
        6: main_routes(_items(listings["route6"])),
    }
    sessions = _sessions(saves, found, main)
    static, hits = _static_sets(saves, static_sets)
    sets_failed = static if isinstance(static, CommandFailed) else None
    read = (*results.values(), *listings.values(), tables, found.sockets, containers)
    everything = (*read, sessions, sets_failed)
    errors = [result for result in everything if isinstance(result, CommandFailed)]
    for family in FAMILIES:
        if len(saves[family]) > MAX_SAVE_CHARACTERS:
            words = (program(backend, family, "save"), "-c")
            errors.append(
                CommandFailed(words, sentences.TOO_MUCH_OUTPUT.format(bytes=MAX_SAVE_CHARACTERS), None, "")
            )
            saves[family] = ""
    filtering, redirecting = _foreign_tables(tables)
    published = _published(seen.rulesets if seen else _parse_nat(saves))
    return Snapshot(
        host=host,
        taken_at=taken_at,
        backend=backend,
        docker_state=_docker_state(tables, saves),
        saves=saves,
        interfaces=_interfaces(
            listings["address"],
            find_routes(_items(listings["route4"]), _items(listings["route6"])),
            joined_groups(),
        ),
        default_routes={4: default_devices(main[4]), 6: default_devices(main[6])},
        published=published,
        versions={"iptables": iptables_version(backend), "kernel": os.uname().release},
        errors=tuple(CommandError(error.command, error.exit_status, str(error)[:16_000]) for error in errors),
        sha256=saves_digest(saves),
        sessions=None if isinstance(sessions, CommandFailed) else sessions,
        sockets=_sockets(found.sockets, published),
        containers=None if isinstance(containers, CommandFailed) else containers,
        sets=read_named_sets(saves),
        families=kernel_families(),
        docker_backends=docker_backends(backend, results),
        bridges_filtered=_bridges_filtered(),
        foreign_tables=filtering,
        redirecting_tables=redirecting,
        named_bridges=_named_bridges(docker_socket, containers),
        static_sets=() if isinstance(static, CommandFailed) else static,
        hits=hits,
        lacks_ip_set=lacks_ip_set(),
        tracked=count_tracked(),
    )


def _static_sets(
    saves: Mapping[Family, str], wanted: Iterable[StaticSet]
) -> tuple[tuple[StaticSetState, ...] | CommandFailed, tuple[RuleHits, ...]]:
    """Return the state of the static sets that rules match, and the hits of their elements by rule."""
    names = static_sets_named("\n".join(saves.values()))[:MAX_STATIC_SETS]
    try:
        held = read_static_sets(names)
    except SetsFailed as error:
        return CommandFailed(("ipset", "save"), str(error), None, ""), ()
    known = {one.name: one for one in wanted}
    states = [judge_set(name, held.get(name), known.get(name)) for name in names]
    hits = sorted(hits_by_rule(held.values()).items())
    return (
        tuple(
            StaticSetState(each.name, each.entries, each.intact, each.lost, each.added, each.lines)
            for each in states
        ),
        tuple(RuleHits(name, *counts) for name, counts in hits if counts[0])[:MAX_HITS],
    )


def unread_snapshot(host: str, reason: str) -> Snapshot:
    """Return the snapshot of a host that was not read, for this reason: nothing is known of its rules."""
    saves: dict[Family, str] = dict.fromkeys(FAMILIES, "")
    failed = [CommandError((program("nft", family, "save"),), None, reason) for family in FAMILIES]
    return Snapshot(
        host=host,
        taken_at=utc_now(),
        backend="nft",
        docker_state="absent",
        saves=saves,
        interfaces=(),
        default_routes=dict.fromkeys(FAMILIES, ()),
        published=(),
        versions={"iptables": "", "kernel": os.uname().release},
        errors=(*failed, CommandError(("ip", "address", "show"), None, reason)),
        sha256=saves_digest(saves),
        families=kernel_families(),
    )


FamiliesOf = Callable[[Mapping[Family, Ruleset]], frozenset[Family]]
"""From the rules of the host to the families in which container networks have addresses."""


def read_container_families(external: Sequence[str], docker_socket: Path | None) -> FamiliesOf:
    """Read what tells, beside the rules, in which families container networks have addresses.

    Docker is asked if its socket is given. Never raises: where the host's addresses cannot be read, only the
    rules tell about containers.
    """
    (addresses,) = run_all([_LIST_ADDRESSES])
    tables = _native_tables()
    if isinstance(tables, bytes) and _is_dockers(tables):
        families = frozenset(kernel_families())
        return lambda _: families
    interfaces = tuple(map(interface_from, _interfaces(_listing(_LIST_ADDRESSES, addresses))))
    found = list_containers(docker_socket) if docker_socket else None
    containers = None if isinstance(found, CommandFailed) else containers_from(found)
    bridges = _named_bridges(docker_socket, found)
    return lambda live: container_families(interfaces, live, containers, external, bridges)


def _named_bridges(
    docker_socket: Path | None, containers: tuple[Container, ...] | CommandFailed | None
) -> tuple[str, ...]:
    """Ask Docker for its networks, unless it did not answer just now."""
    if docker_socket is None or isinstance(containers, CommandFailed):
        return ()
    return list_named_bridges(docker_socket)


@dataclass(frozen=True, slots=True)
class BoundMembers:
    """The members that the bound sets should have now, by name.

    Sets for rules by name are missing while the containers are unknown, and `why_unknown` says why.
    """

    members: Mapping[str, tuple[str, ...]]
    why_unknown: str = ""


def read_bound_members(
    external: Sequence[str], definitions: Definitions = NO_DEFINITIONS, docker_socket: Path | None = None
) -> BoundMembers:
    """Return the members that the bound sets should have now; `external` interfaces face the internet.

    `definitions` are those of rules by name. Docker is asked for nothing else: it answers late while it
    starts, and a running container has an interface on its network's bridge. Raises CommandFailed where the
    host's addresses or sockets cannot be read.
    """
    addresses, printed = run_all([_LIST_ADDRESSES, LIST_SOCKETS])
    listing = _listing(_LIST_ADDRESSES, addresses)
    for result in (listing, printed):
        if isinstance(result, CommandFailed):
            raise result
    sockets = _sockets(printed, () if sees_all_processes() else _read_published())
    surroundings = Surroundings(interfaces=tuple(map(interface_from, _interfaces(listing))))
    listening = Listening(listeners=tuple(map(listener_from, sockets)))
    members = bound_members(surroundings, listening, external)
    if not definitions:
        return BoundMembers(members)
    if docker_socket is None:
        return BoundMembers(members, sentences.DOCKER_NOT_GIVEN)
    found = list_containers(docker_socket)
    if isinstance(found, CommandFailed):
        return BoundMembers(members, sentences.CONTAINERS_UNKNOWN.format(why=found))
    containers = containers_from(found) or ()
    return BoundMembers({**members, **container_members(definitions, containers, listening.listeners)})


def _sockets(
    printed: bytes | CommandFailed, published: tuple[PublishedPort, ...]
) -> tuple[ListeningSocket, ...]:
    if isinstance(printed, CommandFailed):
        return ()
    return parse_listening_sockets(printed, () if sees_all_processes() else published)


def _read_published() -> tuple[PublishedPort, ...]:
    """Read the rules for the ports that Docker publishes, in either backend; none where that fails."""
    found: list[PublishedPort] = []
    for backend in BACKENDS if legacy_in_use() else BACKENDS[:1]:
        commands = [Command((program(backend, family, "save"), "-t", "nat")) for family in FAMILIES]
        saves = dict(zip(FAMILIES, map(_text, run_all(commands)), strict=True))
        found += _published(_parse_nat(saves))
    return tuple(found)


@functools.cache
def iptables_version(backend: Backend) -> str:
    """Return the output of `iptables --version`, empty if it cannot be run. It runs once in each process."""
    try:
        return run(Command((program(backend, 4), "--version"))).decode("utf-8", "replace").strip()[:200]
    except CommandFailed:
        return ""


def _read_rules(seen: Seen | None) -> tuple[Backend, Mapping[Family, bytes | CommandFailed]]:
    if seen is None:
        return find_backend()
    return seen.backend, dict(seen.saves)


def read_around(docker_socket: Path | None = None) -> Around:
    """Read what is around the rules, which takes about as long as reading these. Never raises."""
    with ThreadPoolExecutor(1) as pool:
        tracked = pool.submit(list_tracked)
        *listed, sockets = run_all([*_LISTINGS.values(), LIST_SOCKETS])
        return Around(
            {
                name: _listing(command, result)
                for (name, command), result in zip(_LISTINGS.items(), listed, strict=True)
            },
            _native_tables(),
            sockets,
            tracked.result(),
            list_containers(docker_socket) if docker_socket else None,
        )


def _native_tables() -> bytes | CommandFailed:
    """Return the list of nftables tables as `nft list tables` prints it, empty if nft is not installed."""
    if not shutil.which("nft", path=command_path()):
        return b""
    listed = list_tables()
    return run_all([_LIST_TABLES])[0] if listed is None else listed


def _listing(command: Command, result: bytes | CommandFailed) -> Listing:
    if isinstance(result, CommandFailed):
        return result
    try:
        value = json.loads(result or b"[]")
    except ValueError as error:
        return CommandFailed(command.words, sentences.NOT_JSON.format(error=error), 0, "")
    return [item for item in value if isinstance(item, dict) and item] if isinstance(value, list) else []


def _text(result: bytes | CommandFailed) -> str:
    return "" if isinstance(result, CommandFailed) else result.decode("utf-8", "surrogateescape")


def _docker_state(tables: bytes | CommandFailed, saves: Mapping[Family, str]) -> DockerState:
    # Docker 29 with its own nftables backend keeps its rules in these tables and has no DOCKER-USER.
    if isinstance(tables, bytes) and _is_dockers(tables):
        return "nftables"
    return "iptables" if any(_DOCKER_CHAIN.search(save) for save in saves.values()) else "absent"


def _is_dockers(tables: bytes) -> bool:
    """Return True if Docker has tables of its own in a list of tables."""
    return b"docker-bridges" in tables.split()


def _foreign_tables(tables: bytes | CommandFailed) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the nftables tables that iptables does not show: those that filter, and those that redirect."""
    if isinstance(tables, CommandFailed):
        return (), ()
    names = foreign_tables(tables.decode("utf-8", "replace"))
    # One table that is not read stands for all beyond the limit.
    names, beyond = names[: _MAX_FOREIGN_TABLES - 1], names[_MAX_FOREIGN_TABLES - 1 :][:1]
    listed = run_all([Command(("nft", "list", "table", *name.split())) for name in names])
    filtering, redirecting = [], []
    for name, result in zip(names, listed, strict=True):
        # A table that has gone away does not count; one that cannot be read may do both.
        unread = isinstance(result, CommandFailed)
        if isinstance(result, CommandFailed):
            if "No such file" in str(result):
                continue
            text = ""
        else:
            text = result.decode("utf-8", "replace")
        filtering += [name] if unread or has_filter_chain(text) else []
        redirecting += [name] if unread or changes_destinations(text) else []
    return (*filtering, *beyond), (*redirecting, *beyond)


def _bridges_filtered() -> tuple[Family, ...]:
    """Return the families of bridged packets that br_netfilter passes through the rules; none without it."""
    found: list[Family] = []
    for family, name in ((4, "iptables"), (6, "ip6tables")):
        with contextlib.suppress(OSError):
            if Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").read_text().strip() != "0":
                found.append(cast(Family, family))
    return tuple(found)


def _interfaces(
    listing: Listing,
    routes: Mapping[str, tuple[InterfaceRoute, ...]] = MappingProxyType({}),
    groups: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> tuple[Interface, ...]:
    return tuple(
        Interface(
            name=(name := str(link.get("ifname", ""))),
            addresses=tuple(
                f"{item['local']}/{item['prefixlen']}"
                for item in link.get("addr_info", ())
                if "local" in item
            ),
            up="UP" in link.get("flags", ()),
            master=str(link["master"])[:64] if link.get("master") else None,
            kind=(kind := str(_object(link.get("linkinfo")).get("info_kind", ""))[:64]),
            # Of a veth, `link` is its other end.
            parent=str(link.get("link", ""))[:64] if kind in ON_TOP else "",
            routes=routes.get(name, ()),
            # What arrives on a port is the bridge's.
            groups=() if link.get("master") else groups.get(str(link.get("ifname", "")), ()),
        )
        for link in _items(listing)
    )


def _sessions(
    saves: Mapping[Family, str],
    around: Around,
    routes: Mapping[Family, list[dict[str, Any]]],
) -> SessionGroups | CommandFailed | None:
    """Return the sessions from outside, which dockerfw's chains allowed or a load may cut."""
    if not any(save.strip() for save in saves.values()):
        # Without any rule the kernel tracks nothing.
        return SessionGroups()
    listings = around.listings
    if any(isinstance(listings[name], CommandFailed) for name in ("address", "route4")):
        # Without them it is unknown which clients are outside; the failed commands are listed already.
        return None
    try:
        return sessions_from_outside(around.tracked, routing_of(_items(listings["address"]), routes))
    except CommandFailed as error:
        return error


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(listing: Listing) -> list[dict[str, Any]]:
    return [] if isinstance(listing, CommandFailed) else listing


def _published(rulesets: Mapping[Family, Ruleset]) -> tuple[PublishedPort, ...]:
    found: list[PublishedPort] = []
    for family, ruleset in rulesets.items():
        chain = ruleset.chain("nat", "DOCKER")
        rules = chain.rules if chain else ()
        found += [port for rule in rules if (port := _published_port(family, rule))]
    return tuple(found[:MAX_PUBLISHED])


def _parse_nat(saves: Mapping[Family, str]) -> dict[Family, Ruleset]:
    """Parse the nat tables that publish ports, and leave out those that cannot be parsed."""
    found: dict[Family, Ruleset] = {}
    for family in FAMILIES:
        section = _NAT.search(saves[family])
        if section is not None and "DNAT" in section.group():
            with contextlib.suppress(NetfilterError):
                found[family] = parse_save(section.group())
    return found


def _published_port(family: Family, rule: Rule) -> PublishedPort | None:
    """Read `-d ADDRESS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80`."""
    if rule.target is None or rule.target.name != "DNAT":
        return None
    options = {
        option.name: option.values[0]
        for options_of in (*(match.options for match in rule.matches), rule.target.options)
        for option in options_of
        if option.values and not option.negated
    }
    target = _DESTINATION.fullmatch(options.get("--to-destination", ""))
    port = options.get("--dport", "")
    if target is None or not port.isdigit():
        return None
    return PublishedPort(
        family=family,
        protocol=options.get("-p", ""),
        address=options.get("-d", "").partition("/")[0],
        port=int(port),
        to_address=target.group(1),
        to_port=int(target.group(2)),
    )
