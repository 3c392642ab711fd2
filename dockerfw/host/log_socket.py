"""The socket on which the kernel hands over what the rules log (NFLOG): opened, bound to a group, told apart.

Only a process with CAP_NET_ADMIN may bind a group, and only one at a time. Any process may read the socket
afterwards. The numbers are those of linux/netfilter/nfnetlink.h and nfnetlink_log.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Final

from dockerfw.host import sentences
from dockerfw.host.errors import HostError

COPIED_BYTES: Final = 64
"""What is copied of each packet: its headers, and of most nothing more."""

_NETLINK_NETFILTER: Final = 12
_CONFIG: Final = 4 << 8 | 1
_REQUEST_ACK: Final = 1 | 4
_ERROR: Final = 2
_COMMAND, _MODE, _TIMEOUT, _THRESHOLD, _FLAGS = 1, 2, 4, 5, 6
_BIND: Final = 1
_COPY_PACKET: Final = 2
_WITH_SEQUENCE: Final = 1
_WITH_CONNTRACK: Final = 4
# The kernel sends what it has after so many packets, or hundredths of a second.
_BATCH_PACKETS: Final = 50
_BATCH_HUNDREDTHS: Final = 10
_RECEIVE_BYTES: Final = 1 << 20
_SO_RCVBUFFORCE: Final = 33
_ANSWER_SECONDS: Final = 5.0
_LISTENERS: Final = Path("/proc/thread-self/net/netfilter/nfnetlink_log")


class LogNotReadable(HostError):  # noqa: N818 - it states a fact
    """The group cannot be read by this process; the text says why."""


def open_log_socket(group: int) -> socket.socket:
    """Return a socket that gets what rules log to a group. Raises LogNotReadable."""
    try:
        log = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    except OSError as error:
        raise LogNotReadable(sentences.LOG_NOT_IN_KERNEL.format(error=error.strerror)) from None
    try:
        log.settimeout(_ANSWER_SECONDS)
        log.bind((0, 0))
        _make_room(log)
        _bind(log, group)
        _ask(log, group, _MODE, struct.pack(">IBx", COPIED_BYTES, _COPY_PACKET))
        _ask(log, group, _THRESHOLD, struct.pack(">I", _BATCH_PACKETS))
        _ask(log, group, _TIMEOUT, struct.pack(">I", _BATCH_HUNDREDTHS))
        _set_flags(log, group)
    except OSError as error:
        log.close()
        raise LogNotReadable(sentences.LOG_NOT_READABLE.format(group=group, error=error.strerror)) from None
    except LogNotReadable:
        log.close()
        raise
    return log


def log_readers() -> dict[int, int] | None:
    """Return the netlink port of each group's reader in this network namespace, None if it is not told."""
    try:
        rows = [line.split() for line in _LISTENERS.read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return None
    return {
        int(row[0]): int(row[1]) for row in rows if len(row) > 1 and row[0].isdigit() and row[1].isdigit()
    }


def _bind(log: socket.socket, group: int) -> None:
    try:
        _ask(log, group, _COMMAND, bytes([_BIND]))
    except OSError as error:
        # Also a process without CAP_NET_ADMIN gets EPERM.
        if error.errno not in (errno.EBUSY, errno.EPERM) or group not in (log_readers() or {}):
            raise
        raise LogNotReadable(sentences.log_group_taken(group, _reader_of(group))) from None


def _reader_of(group: int) -> str:
    """Return the name and id of the process that reads a group, empty where that is not told."""
    port = (log_readers() or {}).get(group)
    try:
        # The kernel gives a process its own id as the port of its first netlink socket.
        name = Path(f"/proc/{port}/comm").read_text("utf-8", "replace").strip() if port else ""
    except OSError:
        return ""
    return f"{name} ({port})" if name and port != os.getpid() else ""


def _set_flags(log: socket.socket, group: int) -> None:
    try:
        _ask(log, group, _FLAGS, struct.pack(">H", _WITH_SEQUENCE | _WITH_CONNTRACK))
    except OSError:
        # Without conntrack's netlink module the address that was dialled is not told.
        _ask(log, group, _FLAGS, struct.pack(">H", _WITH_SEQUENCE))


def _make_room(log: socket.socket) -> None:
    try:
        log.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
    except OSError:
        # In a user namespace the usual bound holds.
        log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)


def _ask(log: socket.socket, group: int, attribute: int, value: bytes) -> None:
    """Send one setting of a group and wait for the kernel's answer. Raises OSError."""
    padded = value + bytes(-len(value) % 4)
    body = struct.pack(">BBH", socket.AF_UNSPEC, 0, group)
    body += struct.pack("=HH", 4 + len(value), attribute) + padded
    log.send(struct.pack("=IHHII", 16 + len(body), _CONFIG, _REQUEST_ACK, 1, 0) + body)
    while True:
        answer = log.recv(65536)
        if len(answer) >= 20 and struct.unpack_from("=H", answer, 4)[0] == _ERROR:
            code = -struct.unpack_from("=i", answer, 16)[0]
            if code:
                raise OSError(code, os.strerror(code))
            return
