"""The root worker's end of the log of refused packets: it opens the socket and keeps processes running."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from redis import Redis

from dockerfw.host.background import BackgroundProcess, start_with_sockets
from dockerfw.host.log_socket import LogNotReadable, open_log_socket
from dockerfw.refused.forwarding import Forwarder
from dockerfw.worker.companion import Companion

logger = logging.getLogger("dockerfw.refused")

MODULE: Final = "dockerfw.refused.reader_process"
RETRY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 2.0
READER_GONE: Final = (
    "refused packets are not read: their reader has ended. Restart the root worker to start it again"
)


class RefusalsKeeper:
    """Starts the reader at once: call it before this process drops the right to change to another user."""

    def __init__(self, *, host: str, group: int, connect: Callable[[], Redis]) -> None:
        self._group = group
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._batches, batches = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: BackgroundProcess | None = None
        self._is_open = False
        self._not_before = 0.0
        self.problem = ""
        """Why refused packets are not read, empty where they are."""
        try:
            self._process = start_with_sockets(MODULE, host, stdin=control, stdout=batches)
        except OSError as error:
            logger.error("the reader of refused packets could not start: %s", error)
        finally:
            control.close()
            batches.close()
        self._forwarder = Companion("refused packets", lambda: self._forward(host, connect))

    def _forward(self, host: str, connect: Callable[[], Redis]) -> None:
        # Only this process's parent may keep the reader alive.
        self._control.close()
        Forwarder(self._batches, host, connect).run()

    def check(self) -> None:
        """Open the log if it is not open, and start what has ended. Never raises."""
        if self._process is None or self._process.poll() is not None:
            self._tell(READER_GONE)
            return
        self._forwarder.check()
        if self._is_open or time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + RETRY_SECONDS
        try:
            with open_log_socket(self._group) as log:
                socket.send_fds(self._control, [b"log"], [log.fileno()])
        except (LogNotReadable, OSError) as error:
            self._tell(str(error))
            return
        self._is_open = True
        self._tell("")
        logger.info("refused packets are read from group %d of the kernel's log", self._group)

    def stop(self) -> None:
        """End the processes. Never raises."""
        self._forwarder.stop()
        self._control.close()
        self._batches.close()
        if self._process is not None:
            with contextlib.suppress(Exception):
                self._process.wait(STOP_SECONDS)
                return
            self._process.kill()

    def _tell(self, problem: str) -> None:
        if problem and problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem
