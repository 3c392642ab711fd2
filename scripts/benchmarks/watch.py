"""`python -m scripts.benchmarks.watch`: print when the nf_tables rules of this namespace change.

The kernel sends an event for each rule and one at the end of each transaction, so nothing is polled. A line
is the monotonic clock in seconds and the families that the transaction touched ("4", "6", or "?").
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time

# linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h
NETLINK_NETFILTER = 12
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NFNLGRP_NFTABLES = 7
NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN = 10, 15
SO_RCVBUFFORCE = 33
FAMILIES: dict[int, str] = {socket.AF_INET: "4", socket.AF_INET6: "6"}
HEADER = struct.Struct("=IHHII")


def main() -> int:
    """Print until killed."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        with contextlib.suppress(PermissionError):
            kernel.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 * 1024 * 1024)
        kernel.bind((0, 0))
        kernel.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        print("watching", flush=True)
        touched: set[str] = set()
        while True:
            try:
                data = kernel.recv(1024 * 1024)
            except OSError:
                # Events were lost (ENOBUFS): the families are not known then.
                touched.add("?")
                continue
            now = time.monotonic()
            if _read_events(data, touched):
                print(f"{now:.6f} {''.join(sorted(touched)) or '?'}", flush=True)
                touched = set()


def _read_events(data: bytes, touched: set[str]) -> bool:
    """Add the families in a datagram to `touched`; return True if a transaction ended in it."""
    ended = False
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind = HEADER.unpack_from(data, offset)[:2]
        if length < HEADER.size:
            break
        if kind == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN):
            ended = True
        elif data[offset + HEADER.size] in FAMILIES:
            touched.add(FAMILIES[data[offset + HEADER.size]])
        offset += (length + 3) & ~3
    return ended


if __name__ == "__main__":
    sys.exit(main())
