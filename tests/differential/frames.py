"""First packets as bytes: Ethernet around IPv4 or IPv6 around TCP, UDP, SCTP, ICMP or an unknown protocol.

Each packet has a nonce, by which a tap recognises it wherever it arrives, even inside an ICMP error that
quotes it. Its hop limit is used by nothing else in the world, so the sentinels can count it.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from tests.rig.namespace import Family

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

TCP: Final = 6
UDP: Final = 17
ICMP: Final = 1
ICMPV6: Final = 58
SCTP: Final = 132

HOPS: Final = 201
"""The first hop limit of a packet; 200 after it was forwarded. Answers of the kernel start with 64."""

NONCE_AT: Final = {TCP: 20, UDP: 8, ICMP: 8, ICMPV6: 8, SCTP: 28}
"""The offset of the nonce after the IP header; 0 for protocols that are not listed."""

_ETHERTYPES: Final = {4: 0x0800, 6: 0x86DD}


@dataclass(frozen=True, slots=True)
class Wire:
    """The header fields of one packet."""

    source: Address
    destination: Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    nonce: bytes = b""

    @property
    def family(self) -> Family:
        """The family of its addresses."""
        return 4 if self.source.version == 4 else 6


def ip_bytes(wire: Wire) -> bytes:
    """Return the packet from its IP header on."""
    body = _transport(wire)
    if wire.family == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, HOPS, wire.protocol, 0)
        head += wire.source.packed + wire.destination.packed
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body
    head = struct.pack("!IHBB", 6 << 28, len(body), wire.protocol, HOPS)
    return head + wire.source.packed + wire.destination.packed + body


def ethernet_bytes(wire: Wire, *, source_mac: str, destination_mac: str) -> bytes:
    """Return the packet as an Ethernet frame."""
    head = mac_bytes(destination_mac) + mac_bytes(source_mac) + struct.pack("!H", _ETHERTYPES[wire.family])
    return head + ip_bytes(wire)


def mac_bytes(text: str) -> bytes:
    """Return a hardware address as bytes."""
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """Return the Internet checksum of RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data: bytes) -> int:
    """Return the checksum of SCTP, RFC 9260."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _transport(wire: Wire) -> bytes:
    ports = struct.pack("!HH", wire.source_port, wire.destination_port)
    match wire.protocol:
        case 6:
            segment = ports + struct.pack("!IIBBHHH", 1, 0, 5 << 4, 2, 64240, 0, 0) + wire.nonce
            return _summed(wire, segment, 16)
        case 17:
            return _summed(wire, ports + struct.pack("!HH", 8 + len(wire.nonce), 0) + wire.nonce, 6)
        case 1 | 58:
            return _icmp(wire)
        case 132:
            # An INIT chunk, with the tag, window and streams that conntrack requires; the nonce is its
            # initial transmission number.
            chunk = struct.pack("!BBHIIHH", 1, 0, 20, 1, 65536, 1, 1) + wire.nonce[:4]
            sum_of = crc32c(ports + bytes(8) + chunk)
            return ports + bytes(4) + struct.pack("<I", sum_of) + chunk
        case _:
            return wire.nonce


def _icmp(wire: Wire) -> bytes:
    # An echo has an identifier and a number; in other messages the nonce is the content.
    message = struct.pack("!BBHHH", wire.icmp_type, wire.icmp_code, 0, wire.source_port, 1) + wire.nonce
    if wire.protocol == ICMP:
        return message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return _summed(wire, message, 2)


def _summed(wire: Wire, segment: bytes, at: int) -> bytes:
    pseudo = wire.source.packed + wire.destination.packed
    if wire.family == 4:
        pseudo += struct.pack("!BBH", 0, wire.protocol, len(segment))
    else:
        pseudo += struct.pack("!IHBB", len(segment), 0, 0, wire.protocol)
    value = checksum(pseudo + segment)
    if wire.protocol == UDP and value == 0:
        value = 0xFFFF
    return segment[:at] + struct.pack("!H", value) + segment[at + 2 :]
