"""The multicast groups that programs of this host joined, as the kernel lists them in /proc.

Groups that the kernel joins by itself are left out: all hosts, all routers, those of neighbour discovery.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final

from dockerfw.messages.surroundings import MAX_GROUPS

# Of this thread, since threads may be in different network namespaces.
_PROC: Final = Path("/proc/thread-self/net")
_MAX_CHARACTERS: Final = 4 * 1024 * 1024
# `2	ens33     :     3      V3`, and below it `				FB0000E0     1 0:00000000		0`.
_DEVICE: Final = re.compile(r"[0-9]+\s+(\S+)\s*:.*", re.ASCII)
_GROUP: Final = re.compile(r"\s+([0-9A-F]{8})\s.*", re.ASCII)
# `2    ens33           ff0200000000000000000000000000fb     1 0000000C 0`
_GROUP_6: Final = re.compile(r"[0-9]+\s+(\S+)\s+([0-9a-f]{32})\s.*", re.ASCII)
_BY_KERNEL: Final = frozenset(
    map(
        ip_address,
        ("224.0.0.1", "224.0.0.106", "ff01::1", "ff02::1", "ff01::2", "ff02::2", "ff05::2", "ff02::6a"),
    )
)
_SOLICITED_NODES: Final = ip_network("ff02::1:ff00:0/104")


def joined_groups() -> dict[str, tuple[str, ...]]:
    """Return the groups of each interface that has some, at most MAX_GROUPS each; none without a list."""
    found: dict[str, dict[str, None]] = {}
    groups: tuple[tuple[str, IPv4Address | IPv6Address], ...]
    groups = (*_groups(_read("igmp")), *_groups_6(_read("igmp6")))
    for name, group in groups:
        if group not in _BY_KERNEL and group not in _SOLICITED_NODES and group.is_multicast:
            found.setdefault(name, {})[str(group)] = None
    return {name: tuple(groups)[:MAX_GROUPS] for name, groups in found.items()}


def _read(name: str) -> str:
    try:
        with (_PROC / name).open(encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_CHARACTERS)
    except OSError:
        return ""


def _groups(text: str) -> Iterator[tuple[str, IPv4Address]]:
    device = ""
    for line in text.splitlines():
        if found := _DEVICE.fullmatch(line):
            device = found[1]
        elif (found := _GROUP.fullmatch(line)) and device:
            # The kernel prints the bytes of the address as a number of this machine.
            yield device, IPv4Address(int(found[1], 16).to_bytes(4, sys.byteorder))


def _groups_6(text: str) -> Iterator[tuple[str, IPv6Address]]:
    for line in text.splitlines():
        if found := _GROUP_6.fullmatch(line):
            yield found[1], IPv6Address(int(found[2], 16))
