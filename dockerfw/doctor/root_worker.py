"""Find the root worker of a state directory and enter its network namespace.

In scripts/run's sandbox the root worker has a network namespace of its own, and only that one holds the rules
that it loads. This process can enter it as root, or as the ordinary user who created it.
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

from dockerfw.host.files import lock_holders
from dockerfw.store.state import StateDirectory

_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Found:
    """The root worker's process, None without one; `seen` is false when this process cannot tell."""

    pid: int | None
    seen: bool = True


def find_root_worker(state: StateDirectory) -> Found:
    """Return the process that holds the worker's lock of a state directory. Never raises."""
    try:
        holders = lock_holders(state.path / "worker.lock")
        sees_all = os.geteuid() in (0, state.path.stat().st_uid)
    except FileNotFoundError:
        return Found(None)
    except OSError:
        return Found(None, seen=False)
    # An ordinary user cannot see the open files of other users.
    return Found(min(holders)) if holders else Found(None, seen=sees_all)


def runs_as_root(pid: int | None, state: StateDirectory) -> bool:
    """Return True if the root worker runs as root; without one, if root owns the state directory."""
    try:
        if pid is not None:
            status = Path(f"/proc/{pid}/status").read_text()
            found = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
            return found is not None and found[1] == "0"
        return state.path.stat().st_uid == 0
    except OSError:
        return os.geteuid() == 0


def join_network(pid: int) -> bool:
    """Enter the network namespace of a process for good. Return True if it is another one. Raises OSError."""
    if os.stat("/proc/self/ns/net").st_ino == os.stat(f"/proc/{pid}/ns/net").st_ino:
        return False
    with open(f"/proc/{pid}/ns/user", "rb") as user, open(f"/proc/{pid}/ns/net", "rb") as network:
        if os.stat("/proc/self/ns/user").st_ino != os.fstat(user.fileno()).st_ino:
            _enter(user.fileno())
        _enter(network.fileno())
    return True


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))
