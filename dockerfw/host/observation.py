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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from dockerfw.chains.foreign_tables import changes_destinations, foreign_tables, has_filter_chain
from dockerfw.chains.names import FILTERS_HOST
from dockerfw.chains.ways_in import ON_TOP
from dockerfw.host import sentences
from dockerfw.host.backend import docker_backends, find_backend, kernel_families, program
from dockerfw.host.clock import utc_now
from dockerfw.host.containers import list_containers
from dockerfw.host.reading import Seen
from dockerfw.host.runner import Command, CommandFailed, command_path, run, run_all
from dockerfw.host.sessions import routing_of, sessions_from_outside
from dockerfw.host.sets import read_named_sets
from dockerfw.host.sockets import LIST_SOCKETS, parse_listening_sockets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Backend, Family, Rule, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.session_groups import SessionGroups
from dockerfw.messages.snapshot_values import containers_from, interface_from
from dockerfw.messages.snapshots import MAX_SAVE_CHARACTERS, CommandError, DockerState, Snapshot, saves_digest
from dockerfw.messages.surroundings import Interface, PublishedPort
from dockerfw.reach.container_networks import container_families

_NAT = re.compile(r"^\*nat\n.*?^COMMIT\n", re.MULTILINE | re.DOTALL)
_DESTINATION = re.compile(r"\[?([0-9A-Fa-f.:]+?)\]?:(\d+)(?:-\d+)?(?:/\d+)?")
_OWN_CHAIN = re.compile(rf"^:{FILTERS_HOST} ", re.MULTILINE)
_DOCKER_CHAIN = re.compile(r"^:DOCKER(?:-USER)? ", re.MULTILINE)
_LIST_TABLES = Command(("nft", "list", "tables"))
_MAX_PUBLISHED = 4096
_MAX_FOREIGN_TABLES = 64

Listing = list[dict[str, Any]] | CommandFailed


def observe(host: str, *, seen: Seen | None = None, docker_socket: Path | None = None) -> Snapshot:
    """Take a snapshot; `seen` are the rules, if they were read just now. Never raises.

    Docker is asked for its containers if its socket is given.
    """
    taken_at = utc_now()
    listings, others = _run_listings()
    tables, sockets = others["tables"], others["sockets"]
    backend, results = _read_rules(seen)
    containers = list_containers(docker_socket) if docker_socket else None
    saves = {family: _text(results.get(family, b"")) for family in FAMILIES}
    sessions = _sessions(saves, listings)
    everything = (*results.values(), *listings.values(), tables, sockets, containers, sessions)
    errors = [result for result in everything if isinstance(result, CommandFailed)]
    for family in FAMILIES:
        if len(saves[family]) > MAX_SAVE_CHARACTERS:
            words = (program(backend, family, "save"), "-c")
            errors.append(
                CommandFailed(words, sentences.TOO_MUCH_OUTPUT.format(bytes=MAX_SAVE_CHARACTERS), None, "")
            )
            saves[family] = ""
    filtering, redirecting = _foreign_tables(tables)
    return Snapshot(
        host=host,
        taken_at=taken_at,
        backend=backend,
        docker_state=_docker_state(tables, saves),
        saves=saves,
        interfaces=_interfaces(listings["address"]),
        default_routes={4: _route_devices(listings["route4"]), 6: _route_devices(listings["route6"])},
        published=_published(seen.rulesets if seen else _parse_nat(saves)),
        versions={"iptables": iptables_version(backend), "kernel": os.uname().release},
        errors=tuple(CommandError(error.command, error.exit_status, str(error)[:16_000]) for error in errors),
        sha256=saves_digest(saves),
        sessions=None if isinstance(sessions, CommandFailed) else sessions,
        sockets=parse_listening_sockets(sockets) if isinstance(sockets, bytes) else (),
        containers=None if isinstance(containers, CommandFailed) else containers,
        sets=read_named_sets(saves),
        families=kernel_families(),
        docker_backends=docker_backends(backend, results),
        bridges_filtered=_bridges_filtered(),
        foreign_tables=filtering,
        redirecting_tables=redirecting,
    )


def read_container_families(
    live: Mapping[Family, Ruleset], external: Sequence[str], docker_socket: Path | None
) -> frozenset[Family]:
    """Return the families in which container networks have addresses; Docker is asked if its socket is given.

    Never raises: where the host's addresses cannot be read, only the rules tell about containers.
    """
    commands = [Command(("ip", "-json", "-details", "address", "show"))]
    if shutil.which("nft", path=command_path()):
        commands.append(_LIST_TABLES)
    addresses, *tables = run_all(commands)
    if any(isinstance(each, bytes) and _is_dockers(each) for each in tables):
        return frozenset(kernel_families())
    listing = _listing(commands[0], addresses)
    found = list_containers(docker_socket) if docker_socket else None
    containers = None if isinstance(found, CommandFailed) else containers_from(found)
    return container_families(map(interface_from, _interfaces(listing)), live, containers, external)


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


def _run_listings() -> tuple[dict[str, Listing], dict[str, bytes | CommandFailed]]:
    """Return what `ip` lists, and the printed lists of sockets and (if nft is installed) nftables tables."""
    commands = {
        "address": Command(("ip", "-json", "-details", "address", "show")),
        "route4": Command(("ip", "-json", "-4", "route", "show")),
        "route6": Command(("ip", "-json", "-6", "route", "show")),
        "sockets": LIST_SOCKETS,
    }
    if shutil.which("nft", path=command_path()):
        commands["tables"] = _LIST_TABLES
    results = dict(zip(commands, run_all(list(commands.values())), strict=True))
    others = {name: results.pop(name, b"") for name in ("tables", "sockets")}
    return {name: _listing(commands[name], result) for name, result in results.items()}, others


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
    names = foreign_tables(tables.decode("utf-8", "replace"))[:_MAX_FOREIGN_TABLES]
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
    return tuple(filtering), tuple(redirecting)


def _bridges_filtered() -> tuple[Family, ...]:
    """Return the families of bridged packets that br_netfilter passes through the rules; none without it."""
    found: list[Family] = []
    for family, name in ((4, "iptables"), (6, "ip6tables")):
        with contextlib.suppress(OSError):
            if Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").read_text().strip() != "0":
                found.append(cast(Family, family))
    return tuple(found)


def _interfaces(listing: Listing) -> tuple[Interface, ...]:
    return tuple(
        Interface(
            name=str(link.get("ifname", "")),
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
        )
        for link in _items(listing)
    )


def _sessions(
    saves: Mapping[Family, str], listings: Mapping[str, Listing]
) -> SessionGroups | CommandFailed | None:
    """Return the sessions from outside, if dockerfw's chains, which may have allowed them, are loaded."""
    if not any(_OWN_CHAIN.search(save) for save in saves.values()):
        return SessionGroups()
    if any(isinstance(listings[name], CommandFailed) for name in ("address", "route4")):
        # Without them it is unknown which clients are outside; the failed commands are listed already.
        return None
    routes: dict[Family, list[dict[str, Any]]] = {
        4: _items(listings["route4"]),
        6: _items(listings["route6"]),
    }
    try:
        return sessions_from_outside(routing_of(_items(listings["address"]), routes))
    except CommandFailed as error:
        return error


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(listing: Listing) -> list[dict[str, Any]]:
    return [] if isinstance(listing, CommandFailed) else listing


def _route_devices(listing: Listing) -> tuple[str, ...]:
    devices: dict[str, None] = {}
    for route in _items(listing):
        if route.get("dst") != "default":
            continue
        for hop in (route, *route.get("nexthops", ())):
            if "dev" in hop:
                devices[str(hop["dev"])] = None
    return tuple(devices)


def _published(rulesets: Mapping[Family, Ruleset]) -> tuple[PublishedPort, ...]:
    found: list[PublishedPort] = []
    for family, ruleset in rulesets.items():
        chain = ruleset.chain("nat", "DOCKER")
        rules = chain.rules if chain else ()
        found += [port for rule in rules if (port := _published_port(family, rule))]
    return tuple(found[:_MAX_PUBLISHED])


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
