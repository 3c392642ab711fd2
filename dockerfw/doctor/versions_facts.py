"""Read the versions of Python, the kernel and Docker."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from dockerfw.document.bounded_json import read_json
from dockerfw.host.docker import DockerError, get_from_docker
from dockerfw.iptables.errors import JsonError


def versions_here() -> tuple[str, str]:
    """Return the versions of Python and of the kernel."""
    return platform.python_version(), platform.release()


def docker_version(path: Path | None) -> str | None:
    """Ask Docker for its version; empty without a socket, None when Docker does not answer. Never raises."""
    if path is None:
        return ""
    try:
        value: Any = read_json(get_from_docker(path, "/version"))
        return str(value["Version"])[:100]
    except (DockerError, JsonError, KeyError, TypeError):
        return None
