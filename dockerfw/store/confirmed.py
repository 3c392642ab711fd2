"""The confirmed revision, as the root worker remembers it, and what the drift monitor reported about it.

Two files: one belongs to the boot set and is switched with it, the other is the drift monitor's.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from dockerfw.document.document import Document, canonical_json, digest, parse_document
from dockerfw.host.files import read_bounded
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Backend
from dockerfw.messages.codec import AtMost, Message, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Anything, BootId, Converted, Count, Positive, Seconds, Text, Uuid
from dockerfw.store.records import MAX_WINDOW_BYTES, StateError, StateFile

CONFIRMED = "confirmed.json"
MAX_CONFIRMED_BYTES = 16 * 1024 * 1024
MAX_HEALS = 100


def _valid_document(value: object) -> Document:
    try:
        return parse_document(value)
    except NetfilterError as error:
        raise MessageError("", str(error)) from None


_DOCUMENT = Converted(
    Anything(), after=_valid_document, before=lambda document: json.loads(canonical_json(document))
)


@dataclass(frozen=True, slots=True)
class ConfirmedRecord(Message):
    """A confirmed revision: its apply, its document, its backend, and the boot in which it was confirmed."""

    FORMAT: ClassVar = "dockerfw-confirmed/1"
    IGNORES_UNKNOWN_KEYS: ClassVar = True

    apply: Uuid
    revision: Positive
    backend: Backend
    boot: BootId
    document: Annotated[Document, _DOCUMENT]

    def to_text(self) -> str:
        """Return the content of the file."""
        return json.dumps({**self.to_json(), "digest": digest(self.document)})


def read_confirmed(boot: Path) -> ConfirmedRecord | None:
    """Return the revision that the host loads at boot, None if the boot set names none.

    Raises StateError and OSError.
    """
    path = boot / CONFIRMED
    raw = read_bounded(path, most=MAX_CONFIRMED_BYTES)
    if raw is None:
        return None
    try:
        return confirmed_from(raw)
    except MessageError as error:
        raise StateError(f"{path}: {error}") from None


def confirmed_from(raw: bytes) -> ConfirmedRecord:
    """Read the content of the file. Raises MessageError, also when the digest is not the document's."""
    value: Any = load_json(raw, max_bytes=MAX_CONFIRMED_BYTES)
    record = ConfirmedRecord.from_json(value)
    if value.get("digest") != digest(record.document):
        raise MessageError("digest", "does not match the document")
    return record


@dataclass(frozen=True, slots=True)
class DriftRecord(StateFile):
    """What the drift monitor saw and reported since the last confirmed apply; it reports each change once.

    `mark` identifies the drift that was reported last, empty for none. `docker` are the backends that
    contained Docker's chains at the first check, None before it. `heals` are the times (CLOCK_BOOTTIME of the
    boot `boot`) of self-repairs; `rests` is set after too many of them. `told` counts the reports, and `salt`
    makes their ids unique.
    """

    FORMAT: ClassVar = "dockerfw-seen/1"

    apply: Annotated[str, Text(36)] = ""
    mark: Annotated[str, Text(64)] = ""
    docker: Annotated[tuple[Annotated[str, Text(10)], ...], AtMost(2)] | None = None
    boot: BootId = ""
    heals: Annotated[tuple[Seconds, ...], AtMost(MAX_HEALS)] = ()
    rests: bool = False
    told: Count = 0
    salt: Annotated[str, Text(64)] = field(default_factory=lambda: secrets.token_hex(16))


def read_drift_record(path: Path) -> DriftRecord:
    """Return the drift monitor's record, a new one if there is none or it cannot be read."""
    try:
        raw = read_bounded(path, most=MAX_WINDOW_BYTES)
        return DriftRecord() if raw is None else DriftRecord.from_bytes(raw, str(path))
    except (StateError, OSError):
        # At worst a change is reported twice.
        return DriftRecord()
