"""The watchdog's process: `python -m dockerfw.window.watchdog_process STATE [APPLY]`.

An apply waits for its start, so it imports most modules only after it has reported that it watches. It runs
in a session of its own. The pipe on its standard input breaks when the process that loads the rules dies.
With APPLY it watches a window whose first watchdog was killed.

SIGTERM ends it, because a machine that shuts down sends that to every process. The next boot ends the window.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

LOAD_SECONDS = 2.0
ANSWER_SECONDS = 0.5


def main(arguments: list[str]) -> int:
    """Watch one window until it is closed."""
    os.umask(0o077)
    # A job ignores SIGTERM, and its children inherit that.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    directory = arguments[0]
    if len(arguments) > 1:
        return _watch(directory, arguments[1], loader=None)
    apply = os.read(0, 100).decode("ascii", "replace").strip()
    if not apply or not _has_window(directory, apply):
        return 0
    os.write(1, b"watching\n")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)
    # The load takes moments and needs the processor more; the pipe tells when it is over.
    select.select([0], [], [], LOAD_SECONDS)
    if _is_closed(directory):
        return 0
    return _watch(directory, apply, loader=0)


def _has_window(directory: str, apply: str) -> bool:
    try:
        return f'"apply": "{apply}"'.encode() in _read_window(directory)
    except OSError:
        return False


def _is_closed(directory: str) -> bool:
    """Return True if nothing is left to watch: the load failed, or its rules were kept at once."""
    try:
        if b'"phase": "awaiting"' in _read_window(directory):
            time.sleep(ANSWER_SECONDS)
        return not _read_window(directory)
    except OSError:
        return False


def _read_window(directory: str) -> bytes:
    """Return the record of the open window, nothing when none is open. Raises OSError."""
    try:
        with open(f"{directory}/window.json", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _watch(directory: str, apply: str, *, loader: int | None) -> int:
    from pathlib import Path

    from dockerfw.host.files import LockHeld
    from dockerfw.host.hooks import checkpoint
    from dockerfw.log_lines import log_to_stderr
    from dockerfw.store.state import StateDirectory
    from dockerfw.window.watchdog import Watchdog

    log_to_stderr()
    checkpoint("watchdog-armed")
    state = StateDirectory(Path(directory))
    try:
        if loader is None:
            # Exit when another watchdog was started first.
            with state.watchdog_lock():
                pass
        Watchdog(state, apply, loader=loader).watch()
    except LockHeld:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
