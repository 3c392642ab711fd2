"""The connections that the kernel tracks, read from the lines of `conntrack -L -o extended`.

There may be very many, so each line is read by itself. inbound.py finds the sessions from outside.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import protocol_name

_FAMILIES: Final[dict[str, Family]] = {"ipv4": 4, "ipv6": 6}
# The rest of a TCP connection that has ended already.
_OVER: Final = frozenset({"TIME_WAIT", "CLOSE", "LAST_ACK"})
_ADDRESSES: Final = ("src", "dst")
# The keys that tell flows between the same two addresses apart, by protocol. Other protocols have one flow.
_PORTS: Final = ("sport", "dport")
_ICMP: Final = ("type", "code", "id")
_KEYS: Final = {
    **dict.fromkeys((6, 17, 33, 132, 136), _PORTS),
    **dict.fromkeys((1, 58), _ICMP),
    47: ("srckey", "dstkey"),
}
_GRE_KEY: Final = re.compile(r"0x[0-9a-f]{1,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a session; `keys` are (name, number) as conntrack prints them: ports, ICMP's id.

    With family, protocol and the other direction it identifies one entry of the kernel's table.
    """

    source: str
    destination: str
    keys: tuple[tuple[str, str], ...] = ()

    @property
    def source_port(self) -> int | None:
        """The source port, None if the protocol has none."""
        return self._port("sport")

    @property
    def destination_port(self) -> int | None:
        """The destination port, None if the protocol has none."""
        return self._port("dport")

    def _port(self, name: str) -> int | None:
        return next((int(value) for key, value in self.keys if key == name), None)


@dataclass(frozen=True, slots=True)
class Session:
    """One connection: `original` as its first packet was sent, `reply` as the replies come back.

    `state` is TCP's or SCTP's, empty for others. `zone` is True if it belongs to a conntrack zone.
    """

    family: Family
    number: int
    original: Flow
    reply: Flow
    state: str = ""
    replied: bool = True
    zone: bool = False

    @property
    def protocol(self) -> str:
        """The protocol's name in a document."""
        return protocol_name(self.number)

    @property
    def is_ongoing(self) -> bool:
        """True if the kernel allows its packets as ESTABLISHED and more of them may come."""
        return self.replied and self.state not in _OVER


def read_session(line: str) -> Session | None:
    """Read one line; return None if it cannot be read.

    `ipv4 2 tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… [UNREPLIED] src=… … mark=0 use=1`.
    A connection offloaded to hardware has no time, and most protocols have no state.
    """
    words = line.split()
    if len(words) < 5 or words[0] not in _FAMILIES or not _is_number(words[3], 255) or words[3] == "0":
        return None
    family, number = _FAMILIES[words[0]], int(words[3])
    flows: list[dict[str, str]] = []
    for name, _, value in (word.partition("=") for word in words[4:]):
        if name == "src":
            flows.append({})
        # A later word may have the same name, such as the entry's own id: the first one counts.
        if flows and value:
            flows[-1].setdefault(name, value)
    read = [_flow(flow, family, _KEYS.get(number, ())) for flow in flows]
    if len(read) != 2 or read[0] is None or read[1] is None:
        return None
    states = (word for word in words[4:6] if "=" not in word and word.replace("_", "").isalpha())
    return Session(
        family=family,
        number=number,
        original=read[0],
        reply=read[1],
        state=next(states, ""),
        replied="[UNREPLIED]" not in words,
        zone=any("zone" in word.partition("=")[0] for word in words[4:]),
    )


def _flow(values: dict[str, str], family: Family, names: tuple[str, ...]) -> Flow | None:
    """Return one direction, None unless its words have every key that identifies it."""
    if any(_version(values.get(name, "")) != family for name in _ADDRESSES):
        return None
    if any(not _is_key(name, values.get(name, "")) for name in names):
        return None
    return Flow(values["src"], values["dst"], tuple((name, values[name]) for name in names))


@lru_cache(maxsize=32_768)
def _version(text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def _is_key(name: str, value: str) -> bool:
    if name.endswith("key"):
        return _GRE_KEY.fullmatch(value) is not None
    return _is_number(value, 65535)


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= most
