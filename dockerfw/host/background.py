"""Starts a module of this package as a background process, which outlives the process that starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dockerfw.host.hooks import VARIABLE
from dockerfw.host.runner import command_path

ROOT = Path(__file__).resolve().parents[2]
_PASSED = ("XTABLES_LOCKFILE", "PYTHONDONTWRITEBYTECODE", VARIABLE)

BackgroundProcess = subprocess.Popen[bytes]


def start_with_sockets(
    module: str, *arguments: str, stdin: socket.socket, stdout: socket.socket
) -> BackgroundProcess:
    """Start `python -m module` like `start_module`, with sockets as its standard input and output.

    Raises OSError.
    """
    return _start(module, arguments, stdin.fileno(), stdout.fileno())


def start_module(module: str, *arguments: str, pipes: bool) -> BackgroundProcess:
    """Start `python -m module` in its own session, out of reach of signals to this process group.

    With `pipes` its standard input and output are pipes, otherwise /dev/null. Its environment holds no
    secrets. Raises OSError.
    """
    stream = subprocess.PIPE if pipes else subprocess.DEVNULL
    return _start(module, arguments, stream, stream)


def _start(module: str, arguments: Sequence[str], stdin: int, stdout: int) -> BackgroundProcess:
    # A Python that ignores its own variables (-I) must not hand over where code is found either.
    passed = _PASSED if sys.flags.ignore_environment else (*_PASSED, "PYTHONPATH")
    environment = {name: os.environ[name] for name in passed if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=stdin,
        stdout=stdout,
        cwd=ROOT,
        env={**environment, "PATH": command_path(), "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
