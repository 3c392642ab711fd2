"""The dashboard's public key on this host, in a file that only root can change.

Only orders and answers with the signature of its owner are carried out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dockerfw.host import sentences
from dockerfw.host.errors import HostError
from dockerfw.messages.signatures import MAX_KEY_BYTES, KeyTextError, find_signature_fault, parse_public_key


class SignerError(HostError):
    """This host has no public key of the dashboard that it can trust; the text says why."""


def read_signer(path: Path) -> Ed25519PublicKey:
    """Read the dashboard's public key from a file of root's. Raises SignerError."""
    try:
        # Neither follow a link nor wait at a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise SignerError(sentences.SIGNER_NO_FILE.format(path=path))
            if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
                raise SignerError(sentences.SIGNER_NOT_ROOTS.format(path=path))
            text = file.read(MAX_KEY_BYTES)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SignerError(sentences.SIGNER_UNREADABLE.format(path=path, reason=reason)) from None
    try:
        return parse_public_key(text)
    except KeyTextError as error:
        raise SignerError(sentences.SIGNER_WRONG.format(path=path, reason=error)) from None


def find_sender_fault(message: Mapping[str, object], path: Path) -> str | None:
    """Return why a message cannot be said to come from the dashboard, None if it does."""
    try:
        return find_signature_fault(message, read_signer(path))
    except SignerError as error:
        return str(error)
