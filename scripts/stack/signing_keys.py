"""The pair of keys for signing orders: a private one for the web pages, a public one for the root worker.

Each way of running dockerfw writes the private key where only the web pages can read it, and the public key
where only root can change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dockerfw.messages.signatures import (
    KeyTextError,
    parse_private_key,
    private_key_text,
    public_key_text,
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both keys in PEM. `is_new` is true if there was no private key before."""

    private: bytes
    public: bytes
    is_new: bool


def make_pair() -> KeyPair:
    """Return a new pair."""
    key = Ed25519PrivateKey.generate()
    return KeyPair(private_key_text(key), public_key_text(key.public_key()), is_new=True)


def keep_pair(signing_key: Path) -> KeyPair:
    """Return the pair of an existing private key, or a new one if there is none. Raises OSError."""
    try:
        text = signing_key.read_bytes()
        return KeyPair(text, public_key_text(parse_private_key(text).public_key()), is_new=False)
    except (FileNotFoundError, KeyTextError):
        return make_pair()
