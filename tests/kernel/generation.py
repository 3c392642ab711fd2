"""The generation number of nf_tables in a namespace, which every committed change raises.

If the number is the same before and after, no rule changed in between.
"""

from __future__ import annotations

import socket
import struct

from tests.rig.namespace import PATIENCE, Namespace

_NETLINK_NETFILTER = 12
_NLM_F_REQUEST = 1
_NFT_MSG_NEWGEN = 10 << 8 | 15
_NFT_MSG_GETGEN = 10 << 8 | 16
_HEADER = struct.Struct("=IHHII")
_NFGEN = bytes(4)
_ID = struct.Struct("=HH")
_NFTA_GEN_ID = 1


def generation(namespace: Namespace) -> int:
    """Return the generation number of the active rules (root only); the legacy backend has none."""
    with (
        namespace.entered(),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel,
    ):
        kernel.settimeout(PATIENCE)
        length = _HEADER.size + len(_NFGEN)
        kernel.send(_HEADER.pack(length, _NFT_MSG_GETGEN, _NLM_F_REQUEST, 0, 0) + _NFGEN)
        answer = kernel.recv(4096)
    kind = _HEADER.unpack_from(answer)[1]
    attribute = _ID.unpack_from(answer, length)
    assert (kind, attribute) == (_NFT_MSG_NEWGEN, (8, _NFTA_GEN_ID)), answer
    return int.from_bytes(answer[length + _ID.size : length + 8], "big")
