"""The machine's own control groups, so that two machines at once never see each other's processes.

There is one group with the machine's name beside the caller's own, in each hierarchy that systemd keeps its
units in (the only one of cgroup v2, or `name=systemd` of v1). Controllers of cgroup v1 are not used.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

SECONDS = 10.0
_ENTER = 'for group in $GROUPS_TO_ENTER; do echo $$ >"$group/cgroup.procs"; done; exec "$@"'


class Groups:
    """One control group in each of systemd's hierarchies."""

    def __init__(self, name: str) -> None:
        """Make them. Raises OSError."""
        self._folders = [own / name for own in _own_groups()]
        for folder in self._folders:
            folder.mkdir()

    def enter(self) -> list[str]:
        """Return the words that let a command, which is to follow them, run in the groups."""
        folders = " ".join(str(folder) for folder in self._folders)
        return ["env", f"GROUPS_TO_ENTER={folders}", "sh", "-euc", _ENTER, "sh"]

    def remove(self) -> None:
        """Remove them with all below; a process that was killed leaves its group a moment later."""
        deadline = time.monotonic() + SECONDS
        while any(folder.exists() for folder in self._folders) and time.monotonic() < deadline:
            for folder in self._folders:
                for path, _, _ in os.walk(folder, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(path)
            time.sleep(0.05)


def _own_groups() -> list[Path]:
    """Return the folders of the groups that this process is in."""
    found = []
    mounts = dict(_mounts())
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        key = "cgroup2" if number == "0" else controllers
        if key in mounts:
            found.append(Path(mounts[key] + path))
    return found


def _mounts() -> list[tuple[str, str]]:
    """Return systemd's hierarchies, by the names that /proc/self/cgroup has for them, and where they are."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            found.append(("cgroup2", before.split()[4]))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            found.append(("name=systemd", before.split()[4]))
    return found
