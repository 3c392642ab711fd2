"""Connections and connection attempts of a client, timed where no other process takes part.

The kernel walks a packet through both ends of a veth pair within the call that sends it, so the time of the
call is the time of client, firewall and server together.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dockerfw.document.values import Scope
from scripts.benchmarks.sites import CONTAINER, HOST, PORT, REFUSED, Site
from tests.rig.namespace import Namespace, entering

BURST = 64
_RESET = struct.pack("ii", 1, 0)


class _Part(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """`struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.POINTER(_Part)),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """`struct mmsghdr` of sendmmsg(2)."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint32))


class Connector:
    """Opens connections to a server behind the firewall: connect, accept, reset."""

    def __init__(self, site: Site, server: socket.socket) -> None:
        """Take a listening socket."""
        self._site, self._server = site, server

    def seconds(self, attempts: int) -> float:
        """Return the seconds that a connection takes, the 10th percentile of many."""
        took = []
        with entering(self._site.client.path):
            for _ in range(attempts):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                began = time.perf_counter_ns()
                client.connect((HOST, PORT))
                accepted, _ = self._server.accept()
                client.close()
                took.append(time.perf_counter_ns() - began)
                accepted.close()
        return sorted(took)[attempts // 10] / 1e9


@contextmanager
def make_connector(site: Site, scope: Scope) -> Iterator[Connector]:
    """Start the server that the client dials: on the host, or in the container."""
    place, address = (site.host, (HOST, PORT)) if scope == "host" else (site.container, (CONTAINER, 80))
    with entering(place.path):
        server = socket.create_server(address)
    with server:
        yield Connector(site, server)


class Flooder:
    """Sends SYNs of an address that no rule lets in, each from another port."""

    def __init__(self, site: Site, wire: socket.socket) -> None:
        """Take a packet socket of the client."""
        self._wire = wire
        self._libc = ctypes.CDLL(None, use_errno=True)
        ends = _hardware(site.host, "ens33") + _hardware(site.client, "eth0")
        frames = (ends + _syn(port) for port in range(20_000, 20_000 + BURST))
        self._frames = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
        self._messages = (_Message * BURST)()
        for message, frame in zip(self._messages, self._frames, strict=True):
            part = _Part(ctypes.addressof(frame), len(frame))
            message.header.parts, message.header.part_count = ctypes.pointer(part), 1
        self.sent = 0

    def seconds(self, bursts: int) -> float:
        """Return the seconds that a SYN takes, the 10th percentile of many bursts."""
        took = []
        for _ in range(bursts):
            began = time.perf_counter_ns()
            sent = self._libc.sendmmsg(self._wire.fileno(), self._messages, BURST, 0)
            took.append(time.perf_counter_ns() - began)
            if sent != BURST:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            self.sent += sent
        return sorted(took)[bursts // 10] / 1e9 / BURST


@contextmanager
def make_flooder(site: Site) -> Iterator[Flooder]:
    """Open the client's packet socket."""
    with entering(site.client.path):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with wire:
        wire.bind(("eth0", 0))
        yield Flooder(site, wire)


def _hardware(space: Namespace, interface: str) -> bytes:
    (shown,) = json.loads(space.output("ip", "-json", "link", "show", interface))
    return bytes.fromhex(shown["address"].replace(":", ""))


def _syn(port: int) -> bytes:
    """Return a SYN as an Ethernet frame carries it, after the addresses of the frame."""
    ends = socket.inet_aton(REFUSED) + socket.inet_aton(HOST)
    tcp = struct.pack("!HHIIBBHHH", port, PORT, 1, 0, 5 << 4, 2, 65_535, 0, 0)
    checksum = _checksum(ends + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + checksum + tcp[18:]
    header = struct.pack("!BBHHHBB2x8s", 0x45, 0, 20 + len(tcp), 1, 0, 64, socket.IPPROTO_TCP, ends)
    return struct.pack("!H", 0x0800) + header[:10] + _checksum(header) + header[12:] + tcp


def _checksum(data: bytes) -> bytes:
    """Return the checksum of the internet protocols (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
