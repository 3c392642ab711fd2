"""A Redis with dockerfw's users, or an older release's: clients without a name and a password are refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from scripts.stack.redis_server import find_server, server_command
from tests.rig.namespace import PATIENCE, end_process, wait_until


@contextmanager
def redis_with_users(folder: Path, program: str = "") -> Iterator[Path]:
    """Run a server for a `with` block with the users in the folder's users.acl; give out its socket there."""
    socket = folder / "redis.sock"
    command = server_command(program or find_server(), socket, folder, folder / "users.acl")
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until("Redis", lambda: _answers(socket))
        yield socket
    finally:
        end_process(process)


def _answers(socket: Path) -> bool:
    try:
        Redis(unix_socket_path=str(socket), socket_timeout=PATIENCE).ping()
    except AuthenticationError:
        # So it answers to a client without a name.
        return True
    except RedisError:
        return False
    return True
