"""The confirmed revision, as the root worker remembers it, and what the drift monitor reported about it.

Two files: one belongs to the boot set and is switched with it, the other is the drift monitor's.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

from dockerfw.chains.render import earlier_rendering, render
from dockerfw.chains.rendering import Rendering, read_rendering
from dockerfw.document.document import Document, canonical_json, digest, parse_document
from dockerfw.document.stored import read_stored
from dockerfw.host.clock import boot_id
from dockerfw.host.files import read_bounded
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Backend, Family
from dockerfw.messages.codec import Absent, AtMost, Message, load_json
from dockerfw.messages.confirmed import FAMILY_DIGITS
from dockerfw.messages.errors import MessageError
from dockerfw.messages.loaded import TEXTS, loaded_digest, texts_to_keep
from dockerfw.messages.shapes import Anything, BootId, Count, Digest, Positive, Seconds, Text, Uuid
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.records import MAX_WINDOW_BYTES, StateError, StateFile

CONFIRMED = "confirmed.json"
MAX_CONFIRMED_BYTES = 16 * 1024 * 1024
MAX_HEALS = 100
_DOCKERS_OWN = re.compile(r"^:DOCKER(?!-USER )\S* ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ConfirmedRecord:
    """A confirmed revision: its apply, its document, its backend, and the boot in which it was confirmed.

    `loaded` are the rules that were loaded for it, by family: an upgrade does not change what the kernel
    should hold. A record of an earlier release has none, nor one of very many rules or from a backup; then
    the document is rendered.
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

    def as_earlier_loaded(self) -> ConfirmedRecord:
        """Return the record with the rules of a release that kept no copy of them, where it has none."""
        earlier = {family: earlier_rendering(self.document, family, self.revision) for family in FAMILIES}
        return replace(self, loaded={**earlier, **self.loaded})

    def to_text(self) -> str:
        """Return the content of the file, without the loaded rules where it could not be read with them."""
        text = self._file_text(texts_to_keep(self.loaded))
        return text if len(text) <= MAX_CONFIRMED_BYTES else self._file_text({})

    def _file_text(self, texts: Mapping[Family, str]) -> str:
        file = ConfirmedFile(
            self.apply,
            self.revision,
            digest(self.document),
            self.backend,
            self.boot,
            json.loads(canonical_json(self.document)),
            texts,
            loaded_digest(texts) if texts else "",
        )
        return json.dumps(file.to_json())


@dataclass(frozen=True, slots=True)
class ConfirmedFile(Message):
    """The content of the file."""

    FORMAT: ClassVar = "dockerfw-confirmed/1"
    IGNORES_UNKNOWN_KEYS: ClassVar = True

    apply: Uuid
    revision: Positive
    digest: Digest
    backend: Backend
    boot: BootId
    document: Annotated[object, Anything()]
    # A record of an earlier release has neither.
    loaded: Annotated[Mapping[Family, str], TEXTS, Absent.WHEN_EMPTY] = field(default_factory=dict)
    loaded_digest: Annotated[str, Text(64), Absent.WHEN_EMPTY] = ""

    def check(self) -> None:
        """Raise MessageError when the loaded rules have another digest."""
        if self.loaded and loaded_digest(self.loaded) != self.loaded_digest:
            raise MessageError("loaded_digest", "is not the digest of the loaded rules")


def read_confirmed(boot: Path) -> ConfirmedRecord | None:
    """Return the revision that the host loads at boot, None if the boot set names none.

    Raises StateError and OSError.
    """
    path = boot / CONFIRMED
    raw = read_bounded(path, most=MAX_CONFIRMED_BYTES)
    if raw is None:
        return None
    try:
        # This host wrote the file, so the digest is enough.
        return _read(raw, read_stored)
    except MessageError as error:
        raise StateError(f"{path}: {error}") from None


def confirmed_from(raw: bytes) -> ConfirmedRecord:
    """Read the content of a file that another host may have written. Raises MessageError."""
    return _read(raw, _validate)


def _validate(value: object, expected: str) -> Document:
    document = parse_document(value)
    if digest(document) != expected:
        raise MessageError("digest", "does not match the document")
    return document


def _read(raw: bytes, read_document: Callable[[object, str], Document]) -> ConfirmedRecord:
    file = ConfirmedFile.from_json(load_json(raw, max_bytes=MAX_CONFIRMED_BYTES))
    try:
        document = read_document(file.document, file.digest)
    except NetfilterError as error:
        raise MessageError("document", str(error)) from None
    loaded = {family: read_rendering(text) for family, text in file.loaded.items()}
    return ConfirmedRecord(file.apply, file.revision, file.backend, file.boot, document, loaded)


@dataclass(frozen=True, slots=True)
class DriftRecord(StateFile):
    """What the drift monitor saw and reported since the last confirmed apply; it reports each change once.

    `mark` identifies the drift that was reported last, empty for none. `docker` are the backends that
    contained Docker's chains at the first check, None before it. `heals` are the times (CLOCK_BOOTTIME of the
    boot `boot`) of self-repairs; `rests` is set after too many of them. `told` counts the reports, and `salt`
    makes their ids unique. `docker_families` are the families in which Docker had chains of its own at some
    check of the boot `docker_boot`.
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
    docker_boot: Annotated[BootId, Absent.ALLOWED] = ""
    docker_families: Annotated[tuple[Family, ...], FAMILY_DIGITS, Absent.ALLOWED] = ()

    def remember_docker(self, snapshot: Snapshot) -> DriftRecord:
        """Return the record with the families in which Docker has chains now, too."""
        here = {*_docker_families(snapshot), *(self.docker_families if self.docker_boot == boot_id() else ())}
        families = tuple(family for family in FAMILIES if family in here)
        return replace(self, docker_boot=boot_id(), docker_families=families)

    def docker_gone(self, snapshot: Snapshot) -> tuple[Family, ...]:
        """Return the families in which Docker had chains since the boot, and has none now.

        Docker itself leaves its chains when it stops, so another program has removed them.
        """
        moved = any(backend != snapshot.backend for backend in snapshot.docker_backends)
        if self.docker_boot != boot_id() or moved or snapshot.docker_state == "nftables":
            return ()
        here = {*_docker_families(snapshot), *snapshot.unread}
        return tuple(family for family in self.docker_families if family not in here)


def _docker_families(snapshot: Snapshot) -> Iterator[Family]:
    # (dockerfw creates DOCKER-USER too.)
    return (family for family, save in snapshot.saves.items() if _DOCKERS_OWN.search(save))


def read_drift_record(path: Path) -> DriftRecord:
    """Return the drift monitor's record, a new one if there is none or it cannot be read."""
    try:
        raw = read_bounded(path, most=MAX_WINDOW_BYTES)
        return DriftRecord() if raw is None else DriftRecord.from_bytes(raw, str(path))
    except (StateError, OSError):
        # At worst a change is reported twice.
        return DriftRecord()
