"""The tables of nftables, and those of iptables-nft that iptables-save prints wrongly, read by netlink.

iptables 1.8.9 prints `tcp dport { 22, 80 } drop` as `-p tcp -j DROP`: it leaves out each look-up in a set,
and each range of addresses. A rule that is shown without its condition would look like protection.
exact_rules.py remembers when there was none.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

from dockerfw.iptables.model import BUILTIN_CHAINS, Family

# linux/netfilter/nfnetlink.h and nf_tables.h
_NETFILTER: Final = 12
_GET_TABLES, _TABLE_MESSAGE = (10 << 8) | 1, 10 << 8
_GET_RULES, _RULE = (10 << 8) | 7, (10 << 8) | 6
_GET_CHAINS, _CHAIN = (10 << 8) | 4, (10 << 8) | 3
_GET_GENERATION, _GENERATION = (10 << 8) | 16, (10 << 8) | 15
_GENERATION_NUMBER: Final = 1
_REQUEST, _REQUEST_ALL = 1, 0x301
_CHANGED_MEANWHILE: Final = 0x10
_ERROR, _DONE = 2, 3
_AF: Final[dict[Family, int]] = {4: socket.AF_INET, 6: socket.AF_INET6}
_ANY_AF: Final = 0
_TABLE_FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_CHAIN_NAME: Final = 3
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_PAYLOAD_BASE, _PAYLOAD_OFFSET = 2, 3
# Where source and destination are in the network header (1) of IPv4 and of IPv6.
_ADDRESSES: Final = ((1, 12), (1, 16), (1, 8), (1, 24))
_COMPARE_OPERATOR: Final = 2
# Below, at most, above, at least.
_ORDERING: Final = tuple(struct.pack(">I", number) for number in (2, 3, 4, 5))
_TYPE: Final = 0x3FFF
_SECONDS: Final = 5.0
_TRIES: Final = 5
# asm-generic/socket.h, since Linux 5.14
_SO_NETNS_COOKIE: Final = 71


def _number(kind: int, values: bytes) -> bytes:
    """Return a pattern for an attribute with one of some small numbers."""
    return re.escape(struct.pack("=HH", 8, kind)) + rb"\0\0\0[" + re.escape(values) + rb"]"


def _name(text: bytes) -> bytes:
    """Return a pattern for the head of an expression with a name."""
    return re.escape(struct.pack("=HH", len(text) + 5, _EXPRESSION_NAME) + text) + rb"\0+"


# An address is loaded, perhaps masked, and compared with a range: this may also match other rules.
_UNUSUAL: Final = re.compile(
    _name(b"lookup")
    + rb"|"
    + _number(_PAYLOAD_BASE, b"\1")
    + _number(_PAYLOAD_OFFSET, bytes(place for _, place in _ADDRESSES))
    + rb".{8}(?:.{4}"
    + _name(b"bitwise")
    + rb".{40,200}?)?.{4}(?:"
    + _name(b"range")
    + rb"|"
    + _name(b"cmp")
    + rb".{12}"
    + _number(_COMPARE_OPERATOR, bytes(each[3] for each in _ORDERING))
    + rb")",
    re.DOTALL,
)
_EVERYTHING: Final = re.compile(b"")


def inexact_tables(family: Family) -> frozenset[str] | None:
    """Return the tables of iptables with such rules, None where the kernel does not tell.

    It takes about as long as iptables-save does, and like it asks for one chain after the other: in a list of
    all rules the kernel passes those before again for each part, which takes minutes with 100,000.
    """
    for _ in range(_TRIES):
        try:
            with _open_link() as link:
                return frozenset(_inexact_tables(link, _AF[family]))
        except _ChangedMeanwhile:
            continue
        except (OSError, KeyError):
            break
    return None


def read_generation() -> tuple[int, int] | None:
    """Return the number of this network namespace and that of its rules' generation, None where not told.

    In one boot no other namespace ever has the first, and every change of nft's rules raises the second.
    """
    try:
        with _open_link() as link:
            namespace = link.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
            return int.from_bytes(namespace, sys.byteorder), int.from_bytes(_generation(link), "big")
    except (OSError, KeyError, _ChangedMeanwhile):
        return None


def _inexact_tables(link: socket.socket, family: int) -> Iterator[str]:
    generation = _generation(link)
    for table, chain in list(_chains(link, family)):
        named = _attribute(_TABLE, table) + _attribute(_RULE_CHAIN, chain)
        for _, rule in _messages(link, family, _GET_RULES, _RULE, _UNUSUAL, named=named):
            if _is_inexact(dict(_attributes(rule)).get(_RULE_EXPRESSIONS, b"")):
                yield _text(table)
    if _generation(link) != generation:
        raise _ChangedMeanwhile


def _chains(link: socket.socket, family: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield table and name of each chain of iptables' tables."""
    for _, message in _messages(link, family, _GET_CHAINS, _CHAIN, _EVERYTHING):
        found = dict(_attributes(message))
        if _text(found.get(_TABLE, b"")) in BUILTIN_CHAINS:
            yield found[_TABLE], found.get(_CHAIN_NAME, b"")


def _generation(link: socket.socket) -> bytes:
    """Return the number of the rules' generation, which every change raises. Raises KeyError without one."""
    found = _messages(link, _ANY_AF, _GET_GENERATION, _GENERATION, _EVERYTHING, flags=_REQUEST)
    # Beside the number the kernel tells who asks.
    return dict(_attributes(b"".join(message for _, message in found)))[_GENERATION_NUMBER]


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _text(name: bytes) -> str:
    return name.rstrip(b"\0").decode("utf-8", "replace")


def _open_link() -> socket.socket:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    link.settimeout(_SECONDS)
    return link


def list_tables() -> bytes | None:
    """Return what `nft list tables` prints, None where the kernel does not tell.

    nft reads all rules before it prints the tables, which takes ten seconds with 50,000 rules.
    """
    lines = []
    try:
        with _open_link() as link:
            for family, message in _messages(link, _ANY_AF, _GET_TABLES, _TABLE_MESSAGE, _EVERYTHING):
                name = dict(_attributes(message)).get(_TABLE, b"").rstrip(b"\0")
                lines.append(f"table {_TABLE_FAMILIES.get(family, family)} ".encode() + name + b"\n")
    except (OSError, _ChangedMeanwhile):
        return None
    return b"".join(lines)


class _ChangedMeanwhile(Exception):  # noqa: N818 - it states a fact
    """Another program changed the rules while the kernel listed them, and some may be missing."""


def _messages(
    link: socket.socket,
    family: int,
    request: int,
    wanted: int,
    pattern: re.Pattern[bytes],
    *,
    named: bytes = b"",
    flags: int = _REQUEST_ALL,
) -> Iterator[tuple[int, bytes]]:
    """Yield family and attributes of each message that may match. Raises OSError, _ChangedMeanwhile.

    `named` are attributes that choose. Nearly every rule is iptables' own, and taking all of them apart takes
    long.
    """
    body = struct.pack("=BBH", family, 0, 0) + named
    link.send(struct.pack("=IHHII", 16 + len(body), request, flags, 1, 0) + body)
    while True:
        data = link.recv(1 << 17)
        unusual = pattern.search(data) is not None
        start = 0
        while start + 16 <= len(data):
            length, kind, found = struct.unpack_from("=IHH", data, start)
            if found & _CHANGED_MEANWHILE:
                raise _ChangedMeanwhile
            if kind == _ERROR and (error := -struct.unpack_from("=i", data, start + 16)[0]):
                raise OSError(error, os.strerror(error))
            if kind == _DONE:
                return
            if kind == _ERROR or length < 16:
                raise OSError("the kernel does not list its rules")
            if unusual and kind == wanted:
                yield data[start + 16], data[start + 20 : start + length]
            start += (length + 3) & ~3
        if flags == _REQUEST:
            return


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
