"""The reader's processes: `python -m dockerfw.refused.reader_process HOST`.

The root worker starts it before it drops its own rights, and hands it the open socket of the kernel's log
over standard input. It becomes nobody without any capability before it has read a byte. The bytes that
others have chosen are read by a child, which is started again when it has ended. Batches go to the socket on
standard output. It ends when the root worker does.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
from typing import Final

from dockerfw.host.privileges import become_nobody
from dockerfw.log_lines import log_to_stderr
from dockerfw.refused.reader import Reader
from dockerfw.worker.forked import die_with

logger = logging.getLogger("dockerfw.refused")

_CHECK_SECONDS: Final = 1.0


def main(arguments: list[str]) -> int:
    """Keep a reader running until the root worker has ended."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log_to_stderr()
    try:
        become_nobody()
    except OSError as error:
        logger.error("refused packets are not read: root's rights could not be dropped: %s", error)
        return 1
    control, batches = socket.socket(fileno=0), socket.socket(fileno=1)
    log: socket.socket | None = None
    reader = 0
    while True:
        ready, _, _ = select.select([control], [], [], _CHECK_SECONDS if reader else None)
        if ready:
            _, received, _, _ = socket.recv_fds(control, 16, 1)
            if not received:
                break
            log = socket.socket(fileno=received[0])
        if reader and os.waitpid(reader, os.WNOHANG)[0]:
            logger.warning("the reader of refused packets has ended and is started again")
            reader = 0
        if log is not None and not reader:
            reader = _start(log, batches, arguments[0])
    if reader:
        os.kill(reader, signal.SIGKILL)
    return 0


def _start(log: socket.socket, batches: socket.socket, host: str) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with(parent, signal.SIGKILL)
        Reader(log, batches, host).read()
    except BaseException:
        logger.exception("the reader of refused packets failed")
    finally:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
