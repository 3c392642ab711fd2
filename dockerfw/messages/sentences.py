"""Sentences about messages that admins read: why a signature or a key for signatures is refused."""

from __future__ import annotations

from typing import Final

NO_SIGNATURE: Final = "it is not signed, or a dashboard of an earlier release sent it"
NOT_A_SIGNATURE: Final = "its signature is not an Ed25519 signature in hex"
WRONG_SIGNATURE: Final = (
    "its signature does not match the dashboard's key: it was changed on the way, or someone else sent it"
)
NO_PRIVATE_KEY: Final = "it is not an Ed25519 private key in PEM"
NO_PUBLIC_KEY: Final = "it is not an Ed25519 public key in PEM"
