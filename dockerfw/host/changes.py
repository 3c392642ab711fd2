"""Notices that something about containers may have changed: an interface, an address, an event of Docker's.

What arrives is never parsed: it only says that a look is due. The kernel's messages come on every host,
because Docker adds an interface for each container. Docker's events also come for containers without one.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from pathlib import Path
from typing import Final

logger = logging.getLogger("dockerfw.changes")

# linux/rtnetlink.h: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_GROUPS: Final = 0x1 | 0x10 | 0x100
_MOST_BYTES: Final = 1 << 16
_MOST_READS: Final = 64
_AGAIN_SECONDS: Final = (1.0, 2.0, 5.0)
# Only these: a health check makes events every few seconds.
_EVENTS: Final = "start", "die", "pause", "unpause", "connect", "disconnect", "create", "destroy", "rename"
_FILTERS: Final = "%7B%22event%22%3A%5B" + "%2C".join(f"%22{name}%22" for name in _EVENTS) + "%5D%7D"
_REQUEST: Final = f"GET /events?filters={_FILTERS} HTTP/1.0\r\nHost: docker\r\n\r\n".encode("ascii")


class HostChanges:
    """Listens to the kernel and, where its socket is given, to Docker."""

    def __init__(self, docker_socket: Path | None) -> None:
        """Open both. Never raises: without them the caller looks from time to time."""
        self._docker_socket = docker_socket
        self._docker: socket.socket | None = None
        self._failures = 0
        self._again = 0.0
        self._kernel = _open_netlink()
        # Before the caller's first look, which sees what happened until then.
        self._connect()

    def wait(self, seconds: float, *others: int) -> bool:
        """Wait until something may have changed, an other descriptor is readable, or the time is over.

        Return True if something may have changed.
        """
        if self._connect():
            # What happened until now was not heard.
            return True
        mine = [found for found in (self._kernel, self._docker) if found is not None]
        waiting: list[socket.socket | int] = [*mine, *others]
        ready, _, _ = select.select(waiting, [], [], max(0.0, seconds))
        noticed = [found for found in mine if found in ready]
        for found in noticed:
            if _drain(found):
                if found is self._docker:
                    self._failures = 0
            elif found is self._docker:
                self._disconnect()
            else:
                found.close()
                self._kernel = _open_netlink()
        return bool(noticed)

    def _connect(self) -> bool:
        """Open the connection to Docker if it is due; return True if it is new."""
        if self._docker_socket is None or self._docker is not None or time.monotonic() < self._again:
            return False
        self._docker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._docker.settimeout(1.0)
            self._docker.connect(str(self._docker_socket))
            self._docker.sendall(_REQUEST)
            self._docker.setblocking(False)
        except OSError as error:
            if not self._failures:
                logger.warning("Docker's events cannot be read: %s", error)
            self._disconnect()
            return False
        return True

    def _disconnect(self) -> None:
        if self._docker is not None:
            self._docker.close()
            self._docker = None
        self._again = time.monotonic() + _AGAIN_SECONDS[min(self._failures, len(_AGAIN_SECONDS) - 1)]
        self._failures += 1


def _open_netlink() -> socket.socket | None:
    try:
        found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        found.bind((0, _GROUPS))
        found.setblocking(False)
    except OSError as error:
        logger.warning("the kernel's messages about interfaces cannot be read: %s", error)
        return None
    return found


def _drain(source: socket.socket) -> bool:
    """Throw away what has arrived; return False when the other side has closed the connection."""
    for _ in range(_MOST_READS):
        try:
            if not source.recv(_MOST_BYTES):
                return False
        except BlockingIOError:
            return True
        except OSError:
            # (Netlink's ENOBUFS: messages were lost, so something has changed.)
            return source.family == socket.AF_NETLINK
    return True
