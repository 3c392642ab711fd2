"""Orders about lists as the clerk sends them, signed with a key of tests."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dockerfw.chains.list_entries import digest_of_list, list_of_networks
from dockerfw.messages.list_orders import BindLists, BoundList, ListPart, parts_of
from dockerfw.messages.signatures import public_key_text

LISTS_KEY = Ed25519PrivateKey.from_private_bytes(b"the key of tests for lists alone")
DEFINITION = "0123456789abcdef0123"
OTHER = "fedcba98765432100000"


def now() -> str:
    """Return the time as messages have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def bound_list(
    networks: Iterable[str], definition: str = DEFINITION, number: int = 1
) -> tuple[BoundList, tuple[ListPart, ...]]:
    """Return a list with the messages of its parts."""
    found = list_of_networks(networks)
    text = found.to_text()
    packed = zlib.compress(text.encode())
    parts = tuple(parts_of("local", packed, now()))
    counts = [len(list(found.texts(family))) for family in (4, 6)]
    one = BoundList(
        definition,
        number,
        digest_of_list(text),
        hashlib.sha256(packed).hexdigest(),
        len(parts),
        counts[0],
        counts[1],
    )
    return one, parts


def list_order(*lists: BoundList, sequence: int = 1, host: str = "local", issued_at: str = "") -> BindLists:
    """Return the order for these lists."""
    return BindLists(host, sequence, lists, issued_at or now())


def write_lists_signer(folder: Path) -> Path:
    """Write the public key for lists; return its path."""
    path = folder / "lists.pub"
    path.write_bytes(public_key_text(LISTS_KEY.public_key()))
    path.chmod(0o644)
    return path
