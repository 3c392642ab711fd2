"""The key pair of tests: what the dashboard signs with, and the file that root workers trust."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dockerfw.messages.orders import Answer, Order
from dockerfw.messages.signatures import private_key_text, public_key_text, sign

KEY = Ed25519PrivateKey.from_private_bytes(b"the key of dockerfw's own tests.")
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"the key of another dashboard ...")


def signed(message: Order | Answer | Mapping[str, object], key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    """Return the JSON object of a message, signed."""
    value = message.to_json() if isinstance(message, (Order, Answer)) else message
    return sign(value, key)


def write_signer(folder: Path) -> Path:
    """Write the public key that a root worker trusts; return its path."""
    path = folder / "signer.pub"
    path.write_bytes(public_key_text(KEY.public_key()))
    path.chmod(0o644)
    return path


def write_signing_key(folder: Path) -> Path:
    """Write the key that the dashboard signs with; return its path."""
    path = folder / "signing.key"
    path.write_bytes(private_key_text(KEY))
    path.chmod(0o600)
    return path
