"""Run systemctl and other commands for an installation. Every failure is an InstallationError."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

# Longer than the unit of the root worker gives to a running apply.
SECONDS = 400.0


class InstallationError(Exception):
    """The installation or removal cannot go on; the text is for the admin."""


def run(
    *command: str,
    user: str | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> str:
    """Run a command, with `user` as that user and group, and return its output."""
    shown = " ".join(command)[:200]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            cwd=cwd,
            env=None if environment is None else dict(environment),
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallationError(f"{shown}: {error}") from error
    if check and done.returncode != 0:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise InstallationError(f"{shown} failed with status {done.returncode}:\n{words}")
    return done.stdout


def systemctl(*words: str) -> str:
    """Run systemctl."""
    return run("systemctl", *words)


def active(units: Iterable[str]) -> list[str]:
    """Return the units that run or are starting."""
    wanted = list(units)
    states = run("systemctl", "is-active", *wanted, check=False).split()
    return [
        unit
        for unit, state in zip(wanted, states, strict=False)
        if state in {"active", "activating", "reloading"}
    ]


def stop(*units: str) -> None:
    """Stop units one after the other; a unit that does not exist counts as stopped."""
    for unit in units:
        run("systemctl", "stop", unit, check=not _missing(unit))


def _missing(unit: str) -> bool:
    return run("systemctl", "show", "--property=LoadState", "--value", unit, check=False).strip() != "loaded"


def last_words(unit: str) -> str:
    """Return the end of a unit's journal."""
    return run(
        "journalctl", "--no-pager", "--output=cat", "--lines=15", f"--unit={unit}", check=False
    ).strip()
