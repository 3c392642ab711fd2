"""Counters at the ends of netfilter's hooks, which show the hooks that a test packet passed.

They are in a separate nftables table, which no iptables-save shows, and are read over netlink, which takes a
hundredth of the time of `nft`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

from tests.rig.namespace import PATIENCE, Namespace, entering

NAMES: Final = ("entered", "input", "forward", "sent", "output")

_TABLE: Final = """
table inet sentinels {
  counter entered { }
  counter input { }
  counter forward { }
  counter sent { }
  counter output { }
  chain entered { type filter hook prerouting priority -450;
    ip ttl 200-201 counter name entered accept; ip6 hoplimit 200-201 counter name entered accept; drop; }
  chain input { type filter hook input priority 400;
    ip ttl 200-201 counter name input; ip6 hoplimit 200-201 counter name input; }
  chain forward { type filter hook forward priority 400;
    ip ttl 200-201 counter name forward; ip6 hoplimit 200-201 counter name forward; }
  chain sent { type filter hook output priority -450;
    ip ttl 200-201 counter name sent; ip6 hoplimit 200-201 counter name sent;
    ip ttl 1 drop; ip6 hoplimit { 1, 255 } drop; }
  chain output { type filter hook output priority 400;
    ip ttl 200-201 counter name output; ip6 hoplimit 200-201 counter name output; }
}
"""
"""Other incoming packets, and those to neighbours and groups, are dropped there, so that only tests count."""

_NETLINK_NETFILTER: Final = 12
_GET_OBJECT: Final = (10 << 8) | 19
_REQUEST_AND_DUMP: Final = 1 | 0x300
_INET: Final = 1
_DONE: Final = 3
_ERROR: Final = 2
_NAME, _DATA, _PACKETS = 2, 4, 2


class Sentinels:
    """The counters of one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        """Create the counters at zero."""
        namespace.run("nft", "-f", "-", stdin=_TABLE)
        with entering(namespace.path):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.settimeout(PATIENCE)

    def read(self) -> dict[str, int]:
        """Return the number of test packets that passed each hook."""
        self._socket.send(struct.pack("=IHHIIBBH", 20, _GET_OBJECT, _REQUEST_AND_DUMP, 1, 0, _INET, 0, 0))
        found: dict[str, int] = {}
        while True:
            answer = self._socket.recv(65536)
            while answer:
                size, kind = struct.unpack_from("=IH", answer)
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", answer, 16)[0], "no counters")
                if kind == _DONE:
                    return found
                values = dict(_attributes(answer[20:size]))
                packets = dict(_attributes(values[_DATA]))[_PACKETS]
                found[values[_NAME].rstrip(b"\0").decode()] = int.from_bytes(packets, "big")
                answer = answer[(size + 3) & ~3 :]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """{ length type value padding }"""
    while data:
        size, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:size]
        data = data[(size + 3) & ~3 :]
