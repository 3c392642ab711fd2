"""Observe a host: both families' saves, backend, interfaces, routes, published ports, sessions, who listens.

Owns the looking; it must not change anything. A command that fails is listed in the snapshot with its own
words, and what it would have told is left empty: nothing is guessed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dockerfw.chains.foreign_tables import foreign_tables, has_filter_chain
from dockerfw.chains.names import FILTERS_HOST
from dockerfw.host.backend import Saves, docker_backends, find_backend, kernel_families, program
from dockerfw.host.clock import utc_now
from dockerfw.host.containers import running_containers
from dockerfw.host.runner import Command, CommandFailed, command_path, run, run_all
from dockerfw.host.sessions import routing_of, sessions_from_outside
from dockerfw.host.sets import named_sets
from dockerfw.host.sockets import LISTING, listening_sockets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Backend, Family, Rule
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.session_groups import SessionGroups
from dockerfw.messages.snapshots import MAX_SAVE_CHARACTERS, CommandError, DockerState, Snapshot, saves_digest
from dockerfw.messages.surroundings import Interface, PublishedPort

_NAT = re.compile(r"^\*nat\n.*?^COMMIT\n", re.MULTILINE | re.DOTALL)
_DESTINATION = re.compile(r"\[?([0-9A-Fa-f.:]+?)\]?:(\d+)(?:-\d+)?(?:/\d+)?")
_OWN_CHAIN = re.compile(rf"^:{FILTERS_HOST} ", re.MULTILINE)
_DOCKER_CHAIN = re.compile(r"^:DOCKER(?:-USER)? ", re.MULTILINE)
_MAX_PUBLISHED = 4096
_MAX_OWN_TABLES = 64

Listing = list[dict[str, Any]] | CommandFailed


def observe(
    host: str, *, seen: tuple[Backend, Saves] | None = None, docker_socket: Path | None = None
) -> Snapshot:
    """Look at everything once; `seen` are a backend and its saves, just read. Never raises.

    Docker is asked for its containers where its socket is given.
    """
    taken_at = utc_now()
    listings, others = _look_around()
    tables, sockets = others["tables"], others["sockets"]
    backend, results = seen or find_backend()
    containers = running_containers(docker_socket) if docker_socket else None
    saves = {family: _text(results.get(family, b"")) for family in FAMILIES}
    sessions = _sessions(saves, listings)
    everything = (*results.values(), *listings.values(), tables, sockets, containers, sessions)
    errors = [result for result in everything if isinstance(result, CommandFailed)]
    for family in FAMILIES:
        if len(saves[family]) > MAX_SAVE_CHARACTERS:
            words = (program(backend, family, "save"), "-c")
            errors.append(CommandFailed(words, f"printed more than {MAX_SAVE_CHARACTERS} bytes", None, ""))
            saves[family] = ""
    return Snapshot(
        host=host,
        taken_at=taken_at,
        backend=backend,
        docker_state=_docker_state(tables, saves),
        saves=saves,
        interfaces=_interfaces(listings["address"]),
        default_routes={4: _route_devices(listings["route4"]), 6: _route_devices(listings["route6"])},
        published=_published(saves),
        versions={"iptables": iptables_version(backend), "kernel": os.uname().release},
        errors=tuple(CommandError(error.command, error.exit_status, str(error)[:16_000]) for error in errors),
        sha256=saves_digest(saves),
        sessions=None if isinstance(sessions, CommandFailed) else sessions,
        sockets=listening_sockets(sockets) if isinstance(sockets, bytes) else (),
        containers=None if isinstance(containers, CommandFailed) else containers,
        sets=named_sets(saves),
        families=kernel_families(),
        docker_backends=docker_backends(backend, results),
        bridges_filtered=_bridges_filtered(),
        foreign_tables=_foreign_tables(tables),
    )


@functools.cache
def iptables_version(backend: Backend) -> str:
    """Return what `iptables --version` says, empty when it cannot be run; asked once a process."""
    try:
        return run(Command((program(backend, 4), "--version"))).decode("utf-8", "replace").strip()[:200]
    except CommandFailed:
        return ""


def _look_around() -> tuple[dict[str, Listing], dict[str, bytes | CommandFailed]]:
    """Return what `ip` lists, and as they were printed the sockets and, with nft, the nftables tables."""
    commands = {
        "address": Command(("ip", "-json", "-details", "address", "show")),
        "route4": Command(("ip", "-json", "-4", "route", "show")),
        "route6": Command(("ip", "-json", "-6", "route", "show")),
        "sockets": LISTING,
    }
    if shutil.which("nft", path=command_path()):
        commands["tables"] = Command(("nft", "list", "tables"))
    results = dict(zip(commands, run_all(list(commands.values())), strict=True))
    others = {name: results.pop(name, b"") for name in ("tables", "sockets")}
    return {name: _listing(commands[name], result) for name, result in results.items()}, others


def _listing(command: Command, result: bytes | CommandFailed) -> Listing:
    if isinstance(result, CommandFailed):
        return result
    try:
        value = json.loads(result or b"[]")
    except ValueError as error:
        return CommandFailed(command.words, f"printed what is not JSON: {error}", 0, "")
    return [item for item in value if isinstance(item, dict) and item] if isinstance(value, list) else []


def _text(result: bytes | CommandFailed) -> str:
    return "" if isinstance(result, CommandFailed) else result.decode("utf-8", "surrogateescape")


def _docker_state(tables: bytes | CommandFailed, saves: Mapping[Family, str]) -> DockerState:
    # Docker 29 with its own nftables backend keeps its rules in these tables and has no DOCKER-USER.
    if isinstance(tables, bytes) and b"docker-bridges" in tables.split():
        return "nftables"
    return "iptables" if any(_DOCKER_CHAIN.search(save) for save in saves.values()) else "absent"


def _foreign_tables(tables: bytes | CommandFailed) -> tuple[str, ...]:
    """Return the tables of nftables' own in which somebody filters; those that are iptables' are not read."""
    if isinstance(tables, CommandFailed):
        return ()
    names = foreign_tables(tables.decode("utf-8", "replace"))[:_MAX_OWN_TABLES]
    listed = run_all([Command(("nft", "list", "table", *name.split())) for name in names])
    found = []
    for name, result in zip(names, listed, strict=True):
        # One that went away meanwhile is none; one that cannot be read may well filter.
        if isinstance(result, CommandFailed):
            if "No such file" not in str(result):
                found.append(name)
        elif has_filter_chain(result.decode("utf-8", "replace")):
            found.append(name)
    return tuple(found)


def _bridges_filtered() -> tuple[Family, ...]:
    """Return the families that br_netfilter leads from bridges through the rules; without it, none."""
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
            kind=str(_object(link.get("linkinfo")).get("info_kind", ""))[:64],
        )
        for link in _items(listing)
    )


def _sessions(
    saves: Mapping[Family, str], listings: Mapping[str, Listing]
) -> SessionGroups | CommandFailed | None:
    """Look at the sessions from outside where there is something of ours that can have let them in."""
    if not any(_OWN_CHAIN.search(save) for save in saves.values()):
        return SessionGroups()
    if any(isinstance(listings[name], CommandFailed) for name in ("address", "route4")):
        # Without them it cannot be told who is outside; what failed is listed already.
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


def _published(saves: Mapping[Family, str]) -> tuple[PublishedPort, ...]:
    found: list[PublishedPort] = []
    for family in FAMILIES:
        section = _NAT.search(saves[family])
        if section is None or "DNAT" not in section.group():
            continue
        try:
            nat = parse_save(section.group()).tables["nat"]
        except (NetfilterError, KeyError):
            continue
        for chain in nat.chains.values():
            if chain.name == "DOCKER":
                found.extend(port for rule in chain.rules if (port := _published_port(family, rule)))
    return tuple(found[:_MAX_PUBLISHED])


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
