"""dockerfw's version: one place, and every process tells it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from dockerfw.version import VERSION
from tests.rig.command_fixtures import shell

ROOT = Path(__file__).resolve().parent.parent


def test_pyproject_has_the_same_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_the_command_line_tells_it() -> None:
    done = shell("--version")
    assert (done.returncode, done.stdout.decode().strip()) == (0, f"dockerfw {VERSION}")
