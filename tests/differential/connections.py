"""Has the kernel of a namespace forget its connections, so that every packet is the first of a new one."""

from __future__ import annotations

import socket
import struct
from typing import Final

from tests.rig.namespace import entering

_NETLINK_NETFILTER: Final = 12
_CTNETLINK_DELETE: Final = (1 << 8) | 2
_REQUEST_AND_ACK: Final = 1 | 4
_ERROR: Final = 2


class Connections:
    """What conntrack knows in one namespace; `conntrack -F`, without a process for each time."""

    def __init__(self, namespace: str) -> None:
        """Open the socket; `namespace` is a file, as Namespace.path is."""
        with entering(namespace):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.settimeout(10)

    def forget(self) -> None:
        """Forget them all."""
        # A deletion that names no connection and no family is one of all connections.
        self._socket.send(struct.pack("=IHHIIBBH", 20, _CTNETLINK_DELETE, _REQUEST_AND_ACK, 1, 0, 0, 0, 0))
        answer = self._socket.recv(4096)
        kind = struct.unpack_from("=H", answer, 4)[0]
        code = struct.unpack_from("=i", answer, 16)[0]
        if kind != _ERROR or code != 0:
            raise OSError(-code, "conntrack would not forget")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
