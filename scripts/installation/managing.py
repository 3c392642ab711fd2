"""Run installed code as the user of the web pages, with their unit's settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from scripts.installation import settings, systemd
from scripts.installation.places import WEB_USER


def python(
    code: Path, *words: str, variables: Mapping[str, str] | None = None, user: str | None = WEB_USER
) -> str:
    """Run the Python of a code folder and return its output. Raises InstallationError."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings.web_environment(),
        **(variables or {}),
    }
    program = str(code / ".venv" / "bin" / "python")
    return systemd.run(program, *words, user=user, cwd=code, environment=environment)


def manage(
    code: Path, *words: str, variables: Mapping[str, str] | None = None, user: str | None = WEB_USER
) -> str:
    """Run manage.py of a code folder and return its output. Raises InstallationError."""
    return python(code, "manage.py", *words, variables=variables, user=user)
