"""The host's listening sockets, as `ss` prints them, and the process behind each.

The root worker may not inspect the processes of other users, so `ss -p` names few of them. Any process may
read the control group that a socket was created in, and the names of the processes in that group. If these do
not identify the process, its name stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from ipaddress import IPv6Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Literal, cast

from dockerfw.host.docker_proxies import (
    DOCKER_PROXY,
    NOT_DOCKERS,
    Place,
    find_docker_proxies,
    is_published,
    place_of,
    read_text,
)
from dockerfw.host.runner import Command
from dockerfw.messages.surroundings import MAX_NAME, MAX_SOCKETS, ListeningSocket, PublishedPort

LIST_SOCKETS = Command(("ss", "-H", "-l", "-n", "-t", "-u", "-e", "-p", "--cgroup"))

# A control group's path in, names by process id out.
Members = Callable[[str], Mapping[int, str]]
# The docker-proxy processes by the place that each holds.
Proxies = Callable[[], Mapping[Place, int]]

_PROC = Path("/proc")
_MAX_PROCESSES = 4096
# `127.0.0.53%lo:53`, `[fe80::1]%ens33:546`, `*:80`: an address, maybe an interface, a port.
_LOCAL = re.compile(r"(?P<address>\*|[0-9.]+|\[[0-9a-fA-F:.]+\])(?:%(?P<interface>[^\s:]+))?:(?P<port>\d+)")
_USER = re.compile(r'[(,]\("(?P<name>.{0,64}?)",pid=(?P<pid>\d+),fd=\d+\)')
_CGROUP = re.compile(r" cgroup:(/\S*)")
# Of root's sockets `ss` prints none.
_UID = re.compile(r" uid:\d")
_UNIT = re.compile(r"[^/]+\.(?:service|scope|socket)", re.ASCII)
# Docker's groups, and those of other engines: `/docker/ID`, `/docker-ID.scope`, `/libpod-ID.scope`.
_CONTAINER = re.compile(r"/(?:[a-z-]+-)?([0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?(?:/|$)", re.MULTILINE)
_CGROUP2_MOUNT = re.compile(r"^\S+ \S+ \S+ / (\S+) .* - cgroup2 ", re.MULTILINE)


def parse_listening_sockets(
    printed: bytes, published: Sequence[PublishedPort] = ()
) -> tuple[ListeningSocket, ...]:
    """Read the output of LIST_SOCKETS, and name the process of each socket if this process may know it.

    `published` are the ports that Docker publishes, where this process cannot see the host's processes.
    """
    members, proxies = cache(_members), cache(find_docker_proxies)
    found: dict[ListeningSocket, int | None] = {}
    for line in printed.decode("utf-8", "replace").splitlines():
        socket = _read_line(line, members, proxies)
        if socket is None:
            continue
        socket = _with_proxy(socket, proxies, published, is_roots=_UID.search(line) is None)
        # Several processes may listen on one port (SO_REUSEPORT): that counts as one socket.
        same = replace(socket, pid=None)
        found[same] = socket.pid if found.get(same, socket.pid) == socket.pid else None
    return tuple(replace(socket, pid=pid) for socket, pid in islice(found.items(), MAX_SOCKETS))


def _read_line(line: str, members: Members, proxies: Proxies) -> ListeningSocket | None:
    """Read `tcp LISTEN 0 128 *:80 *:* users:(…) ino:… cgroup:… v6only:0`; return None for any other line."""
    words = line.split(maxsplit=5)
    local = _LOCAL.fullmatch(words[4]) if len(words) == 6 and words[0] in ("tcp", "udp") else None
    if local is None or not 1 <= int(local["port"]) <= 65535:
        return None
    text = local["address"]
    try:
        address = ip_address("::" if text == "*" else text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    socket = ListeningSocket(
        family=address.version,
        protocol=cast(Literal["tcp", "udp"], words[0]),
        address="" if address.is_unspecified else str(address),
        port=int(local["port"]),
        v6only=text == "[::]",
        interface=(local["interface"] or "")[:64],
    )
    return _with_owner(socket, words[5], members, proxies)


def _with_owner(socket: ListeningSocket, rest: str, members: Members, proxies: Proxies) -> ListeningSocket:
    """Return the socket with its unit, container and process, from the rest of its line."""
    users, group = list(_USER.finditer(rest)), _CGROUP.search(rest)
    # dockerd opens the socket and hands it to docker-proxy, so both may hold it.
    user = next((each for each in users if each["name"] == DOCKER_PROXY), users[0] if users else None)
    path = group[1] if group else ""
    if user is not None:
        pid = int(user["pid"])
        # With cgroup v1 the line names no group of the socket: take the group of its process.
        path = path if path.strip("/") else read_text(_PROC / str(pid) / "cgroup")
        socket = replace(socket, process=_printable(user["name"]), pid=pid or None)
    units = _UNIT.findall(path)
    container = _CONTAINER.search(path)
    socket = replace(
        socket, unit=units[-1][:MAX_NAME] if units else "", container=container[1] if container else ""
    )
    if socket.process or not path.strip("/"):
        return socket
    name, process_id = _find_process(socket, members(path), proxies)
    return replace(socket, process=name, pid=process_id)


def _with_proxy(
    socket: ListeningSocket, proxies: Proxies, published: Sequence[PublishedPort], *, is_roots: bool
) -> ListeningSocket:
    """Return the socket with docker-proxy as its process exactly where it is Docker's docker-proxy."""
    may_be = is_roots and not socket.container
    if socket.process == DOCKER_PROXY and not may_be:
        return replace(socket, process=NOT_DOCKERS)
    if socket.process or not may_be:
        return socket
    # Where neither process nor control group is known, docker-proxy's command line names its port.
    pid = proxies().get(place_of(socket))
    if pid is not None:
        return replace(socket, process=DOCKER_PROXY, pid=pid)
    return replace(socket, process=DOCKER_PROXY) if is_published(socket, published) else socket


def _find_process(
    socket: ListeningSocket, members: Mapping[int, str], proxies: Proxies
) -> tuple[str, int | None]:
    """Return the process of a control group that listens: the name that all share, or the docker-proxy."""
    names = set(members.values())
    if len(names) == 1:
        return names.pop(), next(iter(members)) if len(members) == 1 else None
    pid = proxies().get(place_of(socket)) if DOCKER_PROXY in names else None
    return (DOCKER_PROXY, pid) if pid in members else ("", None)


def _members(path: str) -> Mapping[int, str]:
    """Return the names of the processes in a control group by their ids, empty if they cannot be read."""
    root = _cgroup_root()
    if root is None or ".." in path.split("/"):
        return {}
    found: dict[int, str] = {}
    for pid in islice(_pids(root / path.lstrip("/") / "cgroup.procs"), _MAX_PROCESSES):
        name = _printable(read_text(_PROC / str(pid) / "comm").rstrip("\n"))
        # A process without a known name may be the one that listens.
        found[pid] = name
    return {} if "" in found.values() else found


def _pids(path: Path) -> Iterator[int]:
    yield from (int(word) for word in read_text(path, most=1 << 20).split() if word.isdigit() and word != "0")


@cache
def _cgroup_root() -> Path | None:
    mount = _CGROUP2_MOUNT.search(read_text(_PROC / "self/mountinfo", most=1 << 20))
    return Path(mount[1]) if mount else None


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:64]
