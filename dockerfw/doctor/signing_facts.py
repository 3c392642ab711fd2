"""Read the keys for signed orders; nothing of a private key leaves this module. Nothing here raises."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dockerfw.doctor.signing import KeyFile
from dockerfw.host.signer import SignerError, read_signer
from dockerfw.messages.signatures import MAX_KEY_BYTES, KeyTextError, fingerprint, parse_private_key


def signer_file(path: Path) -> KeyFile:
    """Return the key that the root worker trusts, read with its own checks."""
    try:
        return KeyFile(str(path), fingerprint=fingerprint(read_signer(path)))
    except SignerError as error:
        cause = error.__context__
        return KeyFile(
            str(path),
            fault=str(error),
            readable=not isinstance(cause, PermissionError),
            missing=isinstance(cause, FileNotFoundError),
        )


def signing_key_file(path: Path) -> KeyFile:
    """Return what tells about a key that the dashboard or its clerk signs with."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            text = file.read(MAX_KEY_BYTES) if stat.S_ISREG(found.st_mode) else b""
    except PermissionError:
        return KeyFile(str(path), readable=False)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return KeyFile(str(path), fault=f"{path} cannot be read ({error.strerror})", missing=missing)
    try:
        own = fingerprint(parse_private_key(text).public_key())
    except KeyTextError as error:
        return KeyFile(str(path), fault=f"{path} cannot be used: {error}")
    return KeyFile(str(path), fingerprint=own, uid=found.st_uid, mode=stat.S_IMODE(found.st_mode))


def owner_of(data: Path | None) -> int | None:
    """Return the uid of the account that the dashboard runs as: the owner of its data, None if unknown."""
    try:
        return None if data is None else data.stat().st_uid
    except OSError:
        return None
