"""The signatures of orders and answers: Ed25519 (RFC 8032) over the message without its signature.

What is signed is the JSON object, written with sorted keys, without blanks and in ASCII, and not the text
that went through the queue: its spelling may differ, and each other value gives another signature. The key
`format` is part of it, so a signed answer never passes for an order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dockerfw.messages import sentences

KEY: Final = "signature"
MAX_KEY_BYTES: Final = 4096
# No other text that this key may ever sign begins like this.
_PURPOSE: Final = b"dockerfw message\n"
_SIGNATURE = re.compile(r"[0-9a-f]{128}", re.ASCII)


class KeyTextError(ValueError):
    """A text is not a key for signatures; it says why, and contains nothing of the key."""


def sign(message: Mapping[str, object], key: Ed25519PrivateKey) -> dict[str, object]:
    """Return the JSON object of a message with its signature."""
    return {**message, KEY: key.sign(_signed_text(message)).hex()}


def find_signature_fault(message: Mapping[str, object], key: Ed25519PublicKey) -> str | None:
    """Return why a JSON object does not come from the owner of this key, None if it does."""
    signature = message.get(KEY)
    if signature is None:
        return sentences.NO_SIGNATURE
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        return sentences.NOT_A_SIGNATURE
    try:
        key.verify(bytes.fromhex(signature), _signed_text(message))
    # A number such as 1e999 and very deep nesting have no text, so nobody can have signed them.
    except (InvalidSignature, ValueError, RecursionError):
        return sentences.WRONG_SIGNATURE
    return None


def parse_private_key(text: bytes) -> Ed25519PrivateKey:
    """Read the dashboard's key in PEM, as `openssl genpkey -algorithm ed25519` writes it.

    Raises KeyTextError.
    """
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyTextError(sentences.NO_PRIVATE_KEY) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyTextError(sentences.NO_PRIVATE_KEY)
    return key


def parse_public_key(text: bytes) -> Ed25519PublicKey:
    """Read the public key that a host trusts, in PEM. Raises KeyTextError."""
    try:
        key = serialization.load_pem_public_key(text)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyTextError(sentences.NO_PUBLIC_KEY) from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyTextError(sentences.NO_PUBLIC_KEY)
    return key


def private_key_text(key: Ed25519PrivateKey) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key_text(key: Ed25519PublicKey) -> bytes:
    """Return a public key in PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return 16 hex digits that tell public keys apart for people."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def _signed_text(message: Mapping[str, object]) -> bytes:
    value = {name: item for name, item in message.items() if name != KEY}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return _PURPOSE + text.encode("ascii")
