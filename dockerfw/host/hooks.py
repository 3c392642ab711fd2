"""Points between the steps of an apply and of a roll back, where tests kill processes and break things.

Does nothing unless DOCKERFW_HOOK_DIR names a directory when the process starts. Then each point that is
reached is noted in DIR/reached, and where DIR/<point> exists this process waits there until the file is gone:
the test does whatever it likes in between, which may be to kill this very process.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "DOCKERFW_HOOK_DIR"
_DIRECTORY = os.environ.get(VARIABLE, "")


def reached(point: str) -> None:
    """Say that the process has come to this point."""
    if not _DIRECTORY:
        return
    descriptor = os.open(Path(_DIRECTORY, "reached"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{point} {os.getpid()}\n".encode())
    os.close(descriptor)
    while Path(_DIRECTORY, point).exists():
        time.sleep(0.002)
