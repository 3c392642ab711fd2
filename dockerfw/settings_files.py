"""The settings files in /etc/dockerfw, read as systemd's EnvironmentFile= reads them.

A command that root types has none of the variables that systemd gives to the root worker. It reads the same
files: root-HOST.env and host.env.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from dockerfw.streams import InputError

SETTINGS = Path("/etc/dockerfw")
LOCAL = "local"
FOLDER_VARIABLE = "DOCKERFW_SETTINGS_DIR"


def read_settings_file(path: Path) -> dict[str, str]:
    """Read one file, without systemd's rarer escapes; empty when it does not exist. Raises OSError."""
    found: dict[str, str] = {}
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return found
    for line in text.replace("\\\n", "").splitlines():
        words = line.strip()
        if not words or words[0] in "#;" or "=" not in words:
            continue
        variable, _, value = words.partition("=")
        value = value.strip()
        if value[:1] in {"'", '"'}:
            try:
                value = " ".join(shlex.split(value))
            except ValueError:
                value = value.strip(value[0])
        found[variable.strip()] = value
    return found


def root_settings(folder: Path = SETTINGS) -> dict[str, str]:
    """Return the root worker's variables, as its unit has them. Raises OSError."""
    host = read_settings_file(folder / "host.env")
    name = host.get("DOCKERFW_HOST") or LOCAL
    return {**read_settings_file(folder / f"root-{name}.env"), **host}


def add_root_settings() -> None:
    """Add the settings files to the environment, unless it already has variables of dockerfw.

    Raises InputError when the files cannot be read.
    """
    given = {name for name in os.environ if name.startswith("DOCKERFW_")} - {FOLDER_VARIABLE}
    if given:
        return
    folder = Path(os.environ.get(FOLDER_VARIABLE) or SETTINGS)
    try:
        os.environ.update(root_settings(folder))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"the settings in {folder} cannot be read ({reason}). Run this as root") from error
