"""Find the dashboard beside this package and hand it the verbs that need its database.

The dashboard is a program of its own, so this package imports nothing of it. A host that has only the wheel
has no dashboard.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dockerfw.host.handover import become
from dockerfw.streams import InputError

PACKAGE = Path(__file__).resolve().parents[1]
MODULE = "rules.command_line"
_HARMLESS = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
_RUN = ("manage.py", "rules", "rules/command_line/__main__.py")


def find_dashboard() -> Path | None:
    """Return the folder of the dashboard, None where only the agent is installed."""
    folder = PACKAGE.parent
    return folder if all((folder / name).exists() for name in _RUN) else None


def run_dashboard(folder: Path, words: Sequence[str]) -> NoReturn:
    """Become the dashboard's command line. Raises InputError when root must not run it."""
    if os.geteuid() == 0:
        _check_owner(folder)
    # -P and -s: no code from the current folder or from a user's own packages. Nor from where a variable of
    # Python's leads.
    command = [sys.executable, "-P", "-s", "-m", MODULE, *words]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") or name in _HARMLESS
    }
    become(command, {**kept, "PYTHONPATH": str(folder)})


def _check_owner(folder: Path) -> None:
    """Raise InputError unless the dashboard belongs to root, or to the owner of this package."""
    trusted = {0, PACKAGE.stat().st_uid}
    for path in (folder, *(folder / name for name in _RUN)):
        found = path.stat()
        if found.st_uid not in trusted or found.st_mode & 0o002:
            raise InputError(
                f"root does not run {path}, which another user can change. Run: chown -R root:root {folder}"
            )
