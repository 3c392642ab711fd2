"""Deletes the connections of a namespace, so that every packet is the first of a new connection."""

from __future__ import annotations

import socket
import struct
from typing import Final

from tests.rig.namespace import PATIENCE, entering

_NETLINK_NETFILTER: Final = 12
_CTNETLINK_DELETE: Final = (1 << 8) | 2
_REQUEST_AND_ACK: Final = 1 | 4
_ERROR: Final = 2


class Connections:
    """The connections of one namespace; like `conntrack -F`, but without starting a process."""

    def __init__(self, namespace: str) -> None:
        """Open the socket; `namespace` is a file, as Namespace.path is."""
        with entering(namespace):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.settimeout(PATIENCE)

    def delete_all(self) -> None:
        """Delete all connections."""
        # A deletion without a connection and family deletes all connections.
        self._socket.send(struct.pack("=IHHIIBBH", 20, _CTNETLINK_DELETE, _REQUEST_AND_ACK, 1, 0, 0, 0, 0))
        answer = self._socket.recv(4096)
        kind = struct.unpack_from("=H", answer, 4)[0]
        code = struct.unpack_from("=i", answer, 16)[0]
        if kind != _ERROR or code != 0:
            raise OSError(-code, "conntrack did not delete its connections")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
