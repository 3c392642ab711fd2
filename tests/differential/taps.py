"""Places in the world that send packets and see what arrives: a raw socket on one interface each.

A tap sees frames before netfilter does, for any destination. The kernel behind it drops everything, so no
answer from there changes the counters of the host.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import Final

from tests.rig.namespace import Family, entering

_ALL_PROTOCOLS: Final = 0x0003
_OUTGOING: Final = 4


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that a tap saw."""

    place: str
    frame: bytes

    @property
    def packet(self) -> bytes:
        """The frame from its IP header on."""
        return self.frame[14:]

    @property
    def is_ip(self) -> bool:
        """True if this is IPv4 or IPv6."""
        return self.frame[12:14] in (b"\x08\x00", b"\x86\xdd")


class Tap:
    """A raw socket on an interface of a namespace."""

    def __init__(self, place: str, namespace: str, interface: str) -> None:
        """Open the socket; `namespace` is a file such as Namespace.path."""
        self.place = place
        with entering(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((interface, _ALL_PROTOCOLS))
        hardware: bytes = self._socket.getsockname()[4]
        self.mac = hardware.hex(":")
        self._socket.setblocking(False)

    def send(self, frame: bytes) -> None:
        """Send a frame out of the interface."""
        self._socket.send(frame)

    def arrivals(self) -> list[Arrival]:
        """Return the frames that arrived since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, address = self._socket.recvfrom(65535)
                if address[2] != _OUTGOING:
                    found.append(Arrival(self.place, frame))
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class LocalSender:
    """Sends whole IP packets as the host itself, by its own routes."""

    def __init__(self, namespace: str) -> None:
        """Open the sockets."""
        self._sockets: dict[Family, socket.socket] = {}
        with entering(namespace):
            for family, domain in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                self._sockets[4 if family == 4 else 6] = socket.socket(
                    domain, socket.SOCK_RAW, socket.IPPROTO_RAW
                )

    def send(self, packet: bytes, destination: str) -> None:
        """Send a packet that starts with its IP header."""
        # The kernel returns EPERM for packets that its own rules drop, which is a result and not an error.
        with contextlib.suppress(PermissionError):
            if ":" in destination:
                self._sockets[6].sendto(packet, (destination, 0, 0, 0))
            else:
                self._sockets[4].sendto(packet, (destination, 0))

    def close(self) -> None:
        """Close the sockets."""
        for opened in self._sockets.values():
            opened.close()
