"""The revision that was kept last, as the root worker itself remembers it, and what it saw of it since.

Owns the shape of two files: one lies in the boot set, and so comes and goes with it; the other is the
lookout's, about what it has told. Nothing here looks at the kernel.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from dockerfw.document.document import Document, canonical_json, digest, parse_document
from dockerfw.host.files import read_bounded
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Backend
from dockerfw.messages.fields import Fields, MessageError, load_json
from dockerfw.store.records import MAX_WINDOW_BYTES, StateError

CONFIRMED = "confirmed.json"
CONFIRMED_FORMAT = "dockerfw-confirmed/1"
SEEN_FORMAT = "dockerfw-seen/1"
MAX_CONFIRMED_BYTES = 16 * 1024 * 1024
MAX_HEALS = 100


@dataclass(frozen=True, slots=True)
class ConfirmedRecord:
    """A revision that was kept: its apply, its document, the backend, and the boot in which it was kept."""

    apply: str
    revision: int
    backend: Backend
    boot: str
    document: Document

    def to_text(self) -> str:
        """Return the content of its file."""
        value = {
            "format": CONFIRMED_FORMAT,
            "apply": self.apply,
            "revision": self.revision,
            "digest": digest(self.document),
            "backend": self.backend,
            "boot": self.boot,
            "document": json.loads(canonical_json(self.document)),
        }
        return json.dumps(value)


def read_confirmed(boot: Path) -> ConfirmedRecord | None:
    """Return the revision whose set a boot loads, None when there is none that says so.

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
    """Read the content of its file. Raises MessageError."""
    fields = Fields.of_message(load_json(raw, max_bytes=MAX_CONFIRMED_BYTES), CONFIRMED_FORMAT)
    try:
        document = parse_document(fields.take("document"))
        if digest(document) != fields.digest("digest"):
            fields.fail("digest", "is not the document's")
    except NetfilterError as error:
        raise MessageError("document", str(error)) from None
    return ConfirmedRecord(
        apply=fields.uuid("apply"),
        revision=fields.integer("revision", least=1),
        backend=cast(Backend, fields.one_of("backend", ("nft", "legacy"))),
        boot=fields.text("boot", longest=64),
        document=document,
    )


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """What the lookout saw of the apply kept last, and told: it tells each thing once.

    `mark` is that of the drift that was told last, empty for none. `docker` are the backends that held
    Docker's chains at the first look, None before it. `heals` are the times (CLOCK_BOOTTIME of the boot
    `boot`) at which anchors were put back; `rests` says that this was too often. `told` counts what was
    told, `salt` makes the ids of that its own.
    """

    apply: str = ""
    mark: str = ""
    docker: tuple[str, ...] | None = None
    boot: str = ""
    heals: tuple[float, ...] = ()
    rests: bool = False
    told: int = 0
    salt: str = field(default_factory=lambda: secrets.token_hex(16))

    def to_bytes(self) -> bytes:
        """Return the content of its file."""
        value = {
            "format": SEEN_FORMAT,
            "apply": self.apply,
            "mark": self.mark,
            "docker": None if self.docker is None else list(self.docker),
            "boot": self.boot,
            "heals": list(self.heals),
            "rests": self.rests,
            "told": self.told,
            "salt": self.salt,
        }
        return json.dumps(value).encode("ascii")


def read_seen(path: Path) -> SeenRecord:
    """Return what the lookout remembers, a new record when there is none or it makes no sense."""
    try:
        raw = read_bounded(path, most=MAX_WINDOW_BYTES)
        if raw is None:
            return SeenRecord()
        fields = Fields.of_message(load_json(raw), SEEN_FORMAT)
        return SeenRecord(
            apply=fields.text("apply", longest=36),
            mark=fields.text("mark", longest=64),
            docker=fields.optional("docker", lambda key: fields.texts(key, most=2, longest=10)),
            boot=fields.text("boot", longest=64),
            heals=_numbers(fields, "heals"),
            rests=fields.flag("rests"),
            told=fields.integer("told"),
            salt=fields.text("salt", longest=64),
        )
    except (MessageError, OSError):
        # It is only about what was told already; at worst something is told twice.
        return SeenRecord()


def _numbers(fields: Fields, key: str) -> tuple[float, ...]:
    found = []
    for item, _ in fields.items(key, most=MAX_HEALS):
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            fields.fail(key, "must be numbers")
        found.append(float(item))
    return tuple(found)
