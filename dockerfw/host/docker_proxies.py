"""The docker-proxy processes, and which listening sockets are theirs.

A rule for a container opens what docker-proxy holds, so nobody else's socket may count as docker-proxy's:
neither that of another user's process with this name nor that of a process in a container.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from dockerfw.messages.surroundings import ListeningSocket, PublishedPort

DOCKER_PROXY: Final = "docker-proxy"
# Shown instead of the name of a process that only calls itself docker-proxy.
NOT_DOCKERS: Final = "docker-proxy (not Docker's)"

_PROC: Final = Path("/proc")
_MOST_PROCESSES: Final = 65_536
_MOST_BYTES: Final = 4096
_UIDS: Final = re.compile(r"^Uid:\t0\t0\t", re.MULTILINE)
# Docker, containerd, podman and CRI-O name the group of a container after its id.
_IN_CONTAINER: Final = re.compile(r"[0-9a-f]{64}(?:\.scope)?(?:/|$)", re.MULTILINE)
_UNITS: Final = frozenset(("docker.service", "snap.docker.dockerd.service"))

# Protocol, address and port as docker-proxy's command line has them.
Place = tuple[str, str, str]


def find_docker_proxies() -> Mapping[Place, int]:
    """Return root's docker-proxy processes outside containers, by the place that each holds. Never raises."""
    found: dict[Place, int] = {}
    with contextlib.suppress(OSError):
        for process in islice(_PROC.iterdir(), _MOST_PROCESSES):
            if process.name.isdigit() and _is_dockers(process):
                words = read_text(process / "cmdline").split("\0")
                options = dict(zip(words[1::2], words[2::2], strict=False))
                place = tuple(options.get(name, "") for name in ("-proto", "-host-ip", "-host-port"))
                found[place[0], place[1], place[2]] = int(process.name)
    return found


def place_of(socket: ListeningSocket) -> Place:
    """Return the place that docker-proxy was told to hold if the socket is its own."""
    address = socket.address or ("0.0.0.0" if socket.family == 4 else "::")  # noqa: S104
    return socket.protocol, address, str(socket.port)


def is_published(socket: ListeningSocket, ports: Iterable[PublishedPort]) -> bool:
    """Return True if Docker publishes the port of a root's socket whose process cannot be seen.

    In a container the host's processes cannot be seen. No other program can listen where docker-proxy does,
    and the socket was created in Docker's unit, or its unit is not known either.
    """
    return socket.unit in ("", *_UNITS) and any(
        (each.protocol, each.port, each.address) == (socket.protocol, socket.port, socket.address)
        for each in ports
    )


def sees_all_processes() -> bool:
    """Return True unless this process is in a container that hides the host's processes."""
    return read_text(_PROC / "2" / "comm") == "kthreadd\n"


def read_text(path: Path, *, most: int = _MOST_BYTES) -> str:
    """Return the start of a file in /proc, empty where it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(most).decode("utf-8", "replace")
    return ""


def _is_dockers(process: Path) -> bool:
    return (
        read_text(process / "comm") == f"{DOCKER_PROXY}\n"
        and _UIDS.search(read_text(process / "status")) is not None
        and not _is_in_container(process)
    )


def _is_in_container(process: Path) -> bool:
    groups = read_text(process / "cgroup")
    return not groups or _IN_CONTAINER.search(groups) is not None
