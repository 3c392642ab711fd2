"""A machine made of this machine's own files: quick to have, for the suite.

Its tree is this machine's root folder, which stays as it is. Of what is enabled here nothing starts there,
and root's own settings are not seen.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from tests.machine.machine import Machine
from tests.machine.tree import fetch_wheels

TARGET = "installation.target"
UNIT = "[Unit]\nRequires=sysinit.target dbus.socket\nAfter=sysinit.target dbus.socket\n"
ACCOUNTS = ("passwd", "group", "shadow", "gshadow")
# As overlayfs marks a folder of which nothing below is to be seen.
OPAQUE = "trusted.overlay.opaque"


class OwnMachine(Machine):
    """This machine's files with a systemd of their own; use it in a `with` block."""

    def __init__(self) -> None:
        """Start it. Raises MachineError."""
        super().__init__(Path("/"), target=TARGET)

    def _prepare(self, files: Path) -> None:
        super()._prepare(files)
        units, home = files / "etc/systemd/system", files / "root"
        for folder in (units, home):
            folder.mkdir(parents=True)
            os.setxattr(folder, OPAQUE, b"y")
        (units / TARGET).write_text(UNIT)
        # An account that an earlier run has left here would be taken for one that is installed.
        for name in ACCOUNTS:
            lines = Path("/etc", name).read_text().splitlines(keepends=True)
            path = files / "etc" / name
            path.write_text("".join(line for line in lines if not line.startswith("dockerfw")))
            shutil.copystat(Path("/etc", name), path)
        (files / "etc/hostname").write_text("machine\n")
        (files / "etc/hosts").write_text("127.0.0.1 localhost machine\n")
        fetch_wheels(files, ".".join(platform.python_version_tuple()[:2]))
