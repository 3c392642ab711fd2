"""The bridges of Docker's networks for which an admin chose a name, where Docker's socket is given.

Docker tells of a network that has no container too, which neither its rules nor addresses may show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dockerfw.host.docker import MAX_BYTES, DockerError, get_from_docker
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.snapshots import MAX_BRIDGES

_RESOURCE: Final = "/networks"
_NAME: Final = "com.docker.network.bridge.name"
# What the kernel allows, without what would be a pattern in a rule.
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}", re.ASCII)


def list_named_bridges(path: Path) -> tuple[str, ...]:
    """Return the bridges that are not named `docker0` or `br-` and an id; none if Docker does not answer."""
    try:
        value = load_json(get_from_docker(path, _RESOURCE), max_bytes=MAX_BYTES)
    except (DockerError, MessageError):
        return ()
    return tuple(dict.fromkeys(_names(value)))[:MAX_BRIDGES]


def _names(value: object) -> Iterator[str]:
    for network in value if isinstance(value, list) else ():
        options = network.get("Options") if isinstance(network, dict) else None
        name = options.get(_NAME) if isinstance(options, dict) else None
        if isinstance(name, str) and _INTERFACE.fullmatch(name) and name != "docker0":
            yield name
