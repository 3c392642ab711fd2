"""The watchdog's process: `python -m dockerfw.window.watchdog_process STATE [APPLY]`.

Owns its start, for which an apply waits: so what `watching` needs is imported only when the process has said
that it watches. It runs in a session of its own, and learns from the pipe on its standard input that the
process which loads the rules has died. With APPLY it watches a window whose first watchdog was ended.

SIGTERM ends it: so asks a machine that goes down all that still runs. The next boot ends the window.
"""

from __future__ import annotations

import os
import select
import signal
import sys

LOAD_SECONDS = 2.0


def main(arguments: list[str]) -> int:
    """Watch one window until it is closed."""
    os.umask(0o077)
    # A job ignores it, and what it starts would as well.
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
    # The load is a matter of moments, and needs the processor more; the pipe tells when it is over.
    select.select([0], [], [], LOAD_SECONDS)
    return _watch(directory, apply, loader=0)


def _has_window(directory: str, apply: str) -> bool:
    try:
        with open(f"{directory}/window.json", "rb") as file:
            return f'"apply": "{apply}"'.encode() in file.read()
    except OSError:
        return False


def _watch(directory: str, apply: str, *, loader: int | None) -> int:
    import logging
    from pathlib import Path

    from dockerfw.host.files import LockHeld
    from dockerfw.host.hooks import checkpoint
    from dockerfw.store.state import StateDirectory
    from dockerfw.window.watchdog import Watchdog

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    checkpoint("watchdog-armed")
    state = StateDirectory(Path(directory))
    try:
        if loader is None:
            # It is started again only where none watches: another one has been quicker.
            with state.watchdog_lock():
                pass
        Watchdog(state, apply, loader=loader).watch()
    except LockHeld:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
