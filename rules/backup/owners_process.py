"""A second process that reads or changes the database as its owner, when this process is root.

It works in two steps: it prepares everything and reports that, and it finishes when the first process says
so. Root opens no file that an ordinary user may have put there, and leaves none that the user cannot read.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
from collections.abc import Callable
from typing import Any, cast

from dockerfw.document.bounded_json import read_json
from dockerfw.iptables.errors import JsonError

MOST_BYTES = 64 * 1024 * 1024
Pause = Callable[[dict[str, Any]], None]
"""Report the prepared work, and return when the process may finish it. Raises Abandoned when it may not."""


class OwnerFailed(Exception):  # noqa: N818 - it states a fact
    """The second process failed; the text gives the reason."""


class Abandoned(Exception):  # noqa: N818 - it states a fact
    """The first process failed, so the prepared work is discarded."""


class OwnersProcess:
    """Runs `work(pause)` in a child process as `owner`, given as the result of lstat or stat.

    An exception in `expected` becomes an OwnerFailed with the same text in `hear`.
    """

    def __init__(
        self,
        owner: os.stat_result,
        work: Callable[[Pause], dict[str, Any]],
        *,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._socket, other = socket.socketpair()
        self._pid = os.fork()
        if self._pid:
            other.close()
            self._answers = self._socket.makefile("rb")
            return
        self._socket.close()
        status = 1
        try:
            with other:
                _serve(other, owner, work, (OSError, *expected))
            status = 0
        finally:
            os._exit(status)

    def hear(self) -> dict[str, Any]:
        """Wait for its next message. Raises OwnerFailed with the reason of a failure."""
        line = self._answers.readline(MOST_BYTES)
        if not line:
            raise OwnerFailed("the database process ended without an answer")
        try:
            said = cast("dict[str, Any]", read_json(line))
        except JsonError as error:
            raise OwnerFailed(f"the answer of the database process cannot be read: {error}") from None
        if "failed" in said:
            raise OwnerFailed(said["failed"])
        return said

    def go_on(self) -> None:
        """Let it finish."""
        self._socket.sendall(b"go\n")

    def close(self) -> None:
        """Wait for its end; unless it was told to finish, it discards the prepared work."""
        self._answers.close()
        self._socket.close()
        os.waitpid(self._pid, 0)

    def __enter__(self) -> OwnersProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _serve(
    other: socket.socket,
    owner: os.stat_result,
    work: Callable[[Pause], dict[str, Any]],
    expected: tuple[type[Exception], ...],
) -> None:
    def say(value: dict[str, Any]) -> None:
        other.sendall(json.dumps(value).encode() + b"\n")

    def pause(value: dict[str, Any]) -> None:
        say(value)
        if other.recv(8) != b"go\n":
            raise Abandoned

    try:
        become(owner)
        os.umask(0o077)
        say(work(pause))
    except Abandoned:
        return
    except expected as error:
        say({"failed": str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__})
    # The first process must not wait for an answer after any failure.
    except Exception as error:  # noqa: BLE001
        say({"failed": f"the database: {type(error).__name__}: {str(error)[:300]}"})


def become(owner: os.stat_result) -> None:
    """Become a user for the rest of this process, given as the result of lstat or stat; only root can."""
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    try:
        name = pwd.getpwuid(owner.st_uid).pw_name
        os.initgroups(name, owner.st_gid)
    except KeyError:
        os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
