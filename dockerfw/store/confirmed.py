"""The confirmed revision, as the root worker remembers it, and what the drift monitor reported about it.

Two files: one belongs to the boot set and is switched with it, the other is the drift monitor's.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from dockerfw.chains.render import render
from dockerfw.chains.rendering import Rendering, read_rendering
from dockerfw.document.document import Document, canonical_json, digest, parse_document
from dockerfw.document.stored import read_stored
from dockerfw.host.files import read_bounded
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family
from dockerfw.messages.fields import Fields, OrderError, load_json
from dockerfw.messages.loaded import loaded_digest, loaded_texts, texts_to_keep
from dockerfw.messages.snapshots import Backend
from dockerfw.store.records import MAX_WINDOW_BYTES, StateError

CONFIRMED = "confirmed.json"
CONFIRMED_FORMAT = "dockerfw-confirmed/1"
SEEN_FORMAT = "dockerfw-seen/1"
MAX_CONFIRMED_BYTES = 16 * 1024 * 1024
MAX_HEALS = 100


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A confirmed revision: its apply, its document, the backend, and the boot in which it was confirmed.

    `loaded` are the rules that were loaded for it, by family: an upgrade does not change what the kernel
    should hold. A record of an earlier release has none, nor one of very many rules; then the document is
    rendered.
    """

    apply: str
    revision: int
    backend: Backend
    boot: str
    document: Document
    loaded: Mapping[Family, Rendering] = field(default_factory=dict)

    def rendering(self, family: Family) -> Rendering:
        """Return the rules that the kernel should hold for a family."""
        return self.loaded.get(family) or render(self.document, family, self.revision)

    def to_text(self) -> str:
        """Return the content of its file."""
        texts = texts_to_keep(self.loaded)
        value = {
            "format": CONFIRMED_FORMAT,
            "apply": self.apply,
            "revision": self.revision,
            "digest": digest(self.document),
            "backend": self.backend,
            "boot": self.boot,
            "document": json.loads(canonical_json(self.document)),
        }
        if texts:
            value["loaded"] = {str(family): text for family, text in texts.items()}
            value["loaded_digest"] = loaded_digest(texts)
        return json.dumps(value)


def read_confirmed(boot: Path) -> Confirmed | None:
    """Return the revision whose set a boot loads, None if there is no set or it is of an old release.

    Raises StateError and OSError.
    """
    path = boot / CONFIRMED
    raw = read_bounded(path, most=MAX_CONFIRMED_BYTES)
    if raw is None:
        return None
    try:
        # This host wrote the file, so the digest is enough.
        return _record(raw, read_stored)
    except OrderError as error:
        raise StateError(f"{path}: {error}") from None


def confirmed_from(raw: bytes) -> Confirmed:
    """Read the content of its file. Raises OrderError."""
    return _record(raw, _validate)


def _validate(value: object, expected: str) -> Document:
    document = parse_document(value)
    if digest(document) != expected:
        raise OrderError("digest", "is not the document's")
    return document


def _record(raw: bytes, read_document: Callable[[object, str], Document]) -> Confirmed:
    fields = Fields.of_message(load_json(raw, max_bytes=MAX_CONFIRMED_BYTES), CONFIRMED_FORMAT)
    try:
        document = read_document(fields.take("document"), fields.digest("digest"))
    except NetfilterError as error:
        raise OrderError("document", str(error)) from None
    return Confirmed(
        apply=fields.uuid("apply"),
        revision=fields.integer("revision", least=1),
        backend=cast(Backend, fields.one_of("backend", ("nft", "legacy"))),
        boot=fields.text("boot", longest=64),
        document=document,
        loaded=_loaded(fields),
    )


def _loaded(fields: Fields) -> dict[Family, Rendering]:
    """Read the rules that were loaded, none in a record of an earlier release. Raises OrderError."""
    if not fields.has("loaded"):
        return {}
    texts = loaded_texts(fields.object("loaded"))
    if loaded_digest(texts) != fields.digest("loaded_digest"):
        fields.fail("loaded_digest", "is not the digest of the loaded rules")
    return {family: read_rendering(text) for family, text in texts.items()}


@dataclass(frozen=True, slots=True)
class DriftRecord:
    """What the drift monitor saw and reported since the last confirmed apply; it reports each change once.

    `mark` identifies the drift that was reported last, empty for none. `docker` are the backends that
    contained Docker's chains at the first check, None before it. `heals` are the times (CLOCK_BOOTTIME of the
    boot `boot`) of self-repairs; `rests` is set after too many of them. `told` counts the reports, and `salt`
    makes their ids unique.
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


def read_drift_record(path: Path) -> DriftRecord:
    """Return the drift monitor's record, a new one if there is none or it cannot be read."""
    try:
        raw = read_bounded(path, most=MAX_WINDOW_BYTES)
        if raw is None:
            return DriftRecord()
        fields = Fields.of_message(load_json(raw), SEEN_FORMAT)
        return DriftRecord(
            apply=fields.text("apply", longest=36),
            mark=fields.text("mark", longest=64),
            docker=fields.optional("docker", lambda key: fields.texts(key, most=2, longest=10)),
            boot=fields.text("boot", longest=64),
            heals=_numbers(fields, "heals"),
            rests=fields.flag("rests"),
            told=fields.integer("told"),
            salt=fields.text("salt", longest=64),
        )
    except (OrderError, OSError):
        # At worst a change is reported twice.
        return DriftRecord()


def _numbers(fields: Fields, key: str) -> tuple[float, ...]:
    found = []
    for item, _ in fields.items(key, most=MAX_HEALS):
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            fields.fail(key, "must be numbers")
        found.append(float(item))
    return tuple(found)
