"""The tables of iptables-nft that hold rules of nft which iptables-save prints wrongly, read by netlink.

iptables 1.8.9 prints `tcp dport { 22, 80 } drop` as `-p tcp -j DROP`: it leaves out each look-up in a set,
and each range of addresses. A rule that is shown without its condition would look like protection.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

from dockerfw.iptables.model import BUILTIN_CHAINS, Family

# linux/netfilter/nfnetlink.h and nf_tables.h
_NETFILTER: Final = 12
_GET_RULES, _RULE = (10 << 8) | 7, (10 << 8) | 6
_GET_SETS, _SET = (10 << 8) | 10, (10 << 8) | 9
_REQUEST_ALL: Final = 0x301
_ERROR, _DONE = 2, 3
_AF: Final[dict[Family, int]] = {4: socket.AF_INET, 6: socket.AF_INET6}
_TABLE, _RULE_EXPRESSIONS = 1, 4
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_PAYLOAD_BASE, _PAYLOAD_OFFSET = 2, 3
# Where source and destination are in the network header (1) of IPv4 and of IPv6.
_ADDRESSES: Final = ((1, 12), (1, 16), (1, 8), (1, 24))
_COMPARE_OPERATOR: Final = 2
# Below, at most, above, at least.
_ORDERING: Final = tuple(struct.pack(">I", number) for number in (2, 3, 4, 5))
_OPERATOR: Final = struct.pack("=HH", 8, _COMPARE_OPERATOR)
_UNUSUAL: Final = (b"lookup\0", b"range\0", *(_OPERATOR + each for each in _ORDERING))
_TYPE: Final = 0x3FFF
_SECONDS: Final = 5.0


def inexact_tables(family: Family, *, many_rules: bool = False) -> frozenset[str]:
    """Return the tables of iptables with such rules; none where the kernel does not answer.

    With `many_rules`, which take a second for each 20,000, they are read only if there are sets: iptables has
    none of its own. Then a range of addresses in a rule of nft is not found.
    """
    found: set[str] = set()
    try:
        if many_rules and not any(_table_of(part) for part in _dump(family, _GET_SETS, _SET)):
            return frozenset()
        for rule in _dump(family, _GET_RULES, _RULE, _UNUSUAL):
            table = _table_of(rule)
            if table and _is_inexact(dict(_attributes(rule)).get(_RULE_EXPRESSIONS, b"")):
                found.add(table)
    except OSError:
        return frozenset()
    return frozenset(found)


def _table_of(message: bytes) -> str:
    """Return the table of a rule or set, empty for one that is not iptables'."""
    table = dict(_attributes(message)).get(_TABLE, b"").rstrip(b"\0").decode("utf-8", "replace")
    return table if table in BUILTIN_CHAINS else ""


def _dump(family: Family, request: int, wanted: int, patterns: tuple[bytes, ...] = (b"",)) -> Iterator[bytes]:
    """Yield the attributes of each rule or set of a family that may have a pattern. Raises OSError.

    Nearly every rule is iptables' own, and taking all of them apart takes long.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as link:
        link.settimeout(_SECONDS)
        body = struct.pack("=BBH", _AF[family], 0, 0)
        link.send(struct.pack("=IHHII", 16 + len(body), request, _REQUEST_ALL, 1, 0) + body)
        while True:
            data = link.recv(1 << 17)
            unusual = any(pattern in data for pattern in patterns)
            start = 0
            while start + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, start)
                if kind in (_DONE, _ERROR) or length < 16:
                    return
                if unusual and kind == wanted:
                    yield data[start + 20 : start + length]
                start += (length + 3) & ~3


def _is_inexact(expressions: bytes) -> bool:
    """Return True if a rule looks a value up in a set, or compares an address with a range."""
    is_address = False
    for _, expression in _attributes(expressions):
        parts = dict(_attributes(expression))
        name = parts.get(_EXPRESSION_NAME, b"").rstrip(b"\0")
        data = dict(_attributes(parts.get(_EXPRESSION_DATA, b"")))
        if name == b"payload":
            place = tuple(
                int.from_bytes(data.get(each, b""), "big") for each in (_PAYLOAD_BASE, _PAYLOAD_OFFSET)
            )
            is_address = place in _ADDRESSES
        compares = name == b"range" or (name == b"cmp" and data.get(_COMPARE_OPERATOR, b"") in _ORDERING)
        if name == b"lookup" or (compares and is_address):
            return True
    return False


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """attributes = { length type value padding }"""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & _TYPE, data[4:length]
        data = data[(length + 3) & ~3 :]
