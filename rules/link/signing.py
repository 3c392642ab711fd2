"""The dashboard's signature under orders and answers, so that a root worker carries out no others.

The key is in a file that only the user of the web pages can read. It is read for each message, so that a new
key needs no restart.
"""

from __future__ import annotations

import os
from pathlib import Path

from dockerfw.messages.signatures import MAX_KEY_BYTES, KeyTextError, parse_private_key, sign

UNREADABLE = "the dashboard's key for signing orders, {path}, cannot be read ({reason}). {todo}"
UNUSABLE = "the dashboard's key for signing orders, {path}, cannot be used: {reason}. {todo}"
TODO = "Run scripts/install again, or docker compose up -d --force-recreate. It makes a missing key"


class SigningError(Exception):
    """An order or an answer cannot be signed; the text says why, and contains nothing of the key."""


def sign_message(message: dict[str, object], path: Path) -> dict[str, object]:
    """Return the JSON object of an order or an answer with the dashboard's signature. Raises SigningError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            text = file.read(MAX_KEY_BYTES)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SigningError(UNREADABLE.format(path=path, reason=reason, todo=TODO)) from None
    try:
        return sign(message, parse_private_key(text))
    except KeyTextError as error:
        raise SigningError(UNUSABLE.format(path=path, reason=error, todo=TODO)) from None
