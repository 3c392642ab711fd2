"""Checkpoints between the steps of an apply, a roll back and a restore, and before a look, for tests.

A checkpoint does nothing unless DOCKERFW_HOOK_DIR names a directory when the process starts. Then it appends
its name to DIR/reached, and while DIR/<name> exists the process waits. Meanwhile the test can do anything,
such as kill the process.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "DOCKERFW_HOOK_DIR"
_DIRECTORY = os.environ.get(VARIABLE, "")


def checkpoint(name: str) -> None:
    """Note that the process came here, and wait as long as a test wants."""
    if not _DIRECTORY:
        return
    descriptor = os.open(Path(_DIRECTORY, "reached"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{name} {os.getpid()}\n".encode())
    os.close(descriptor)
    while Path(_DIRECTORY, name).exists():
        time.sleep(0.002)
