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
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.static_sets import StaticSet
from dockerfw.document.document import Document, canonical_json, digest, parse_document
from dockerfw.document.stored import read_stored
from dockerfw.host.clock import boot_id
from dockerfw.host.files import read_bounded
from dockerfw.host.static_sets import ip_set_limits
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Backend, Family
from dockerfw.messages.codec import Absent, AtMost, Message, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.loaded import TEXTS, loaded_digest, renderings_of, sets_to_keep, texts_to_keep
from dockerfw.messages.shapes import Anything, BootId, Count, Digest, OneOf, Positive, Seconds, Text, Uuid
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.records import MAX_WINDOW_BYTES, StateError, StateFile

CONFIRMED = "confirmed.json"
MAX_CONFIRMED_BYTES = 16 * 1024 * 1024
MAX_HEALS = 100
# Docker's chains do nothing unless the kernel's jump to them. (dockerfw creates DOCKER-USER too.)
_DOCKER_CALLED = re.compile(r"(?:\[\d+:\d+\] )?-A (PREROUTING|FORWARD) (?:.* )?-j DOCKER(?!-USER$)\S*$")
_TABLES: Mapping[str, str] = {"PREROUTING": "nat", "FORWARD": "filter"}
_CALLS = ("4 filter", "4 nat", "6 filter", "6 nat")


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
        found = self.loaded.get(family)
        return found or render(self.document, family, self.revision, limits=ip_set_limits())

    def as_earlier_loaded(self) -> ConfirmedRecord:
        """Return the record with the rules of a release that kept no copy of them, where it has none."""
        limits = ip_set_limits()
        earlier = {
            family: earlier_rendering(self.document, family, self.revision, limits=limits)
            for family in FAMILIES
        }
        return replace(self, loaded={**earlier, **self.loaded})

    def to_text(self) -> str:
        """Return the content of the file, without the loaded rules where it could not be read with them."""
        texts = texts_to_keep(self.loaded)
        text = self._file_text(texts, sets_to_keep(self.loaded) if texts else "")
        return text if len(text) <= MAX_CONFIRMED_BYTES else self._file_text({}, "")

    @property
    def sets(self) -> tuple[StaticSet, ...]:
        """The static sets of the rules that the kernel should hold, of both families."""
        # A kernel without IPv6 has no rules of family 6, and needs no sets of theirs.
        families = [family for family in FAMILIES if family in self.loaded] or FAMILIES
        return tuple(one for family in families for one in self.rendering(family).sets)

    def _file_text(self, texts: Mapping[Family, str], sets: str) -> str:
        file = ConfirmedFile(
            self.apply,
            self.revision,
            digest(self.document),
            self.backend,
            self.boot,
            json.loads(canonical_json(self.document)),
            texts,
            loaded_digest(texts) if texts else "",
            sets,
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
    # The static sets that the loaded rules match. The name of each is the digest of its contents.
    sets: Annotated[str, Text(MAX_CONFIRMED_BYTES), Absent.WHEN_EMPTY] = ""

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
    try:
        loaded = renderings_of(file.loaded, file.sets)
    except NetfilterError as error:
        raise MessageError("sets", str(error)) from None
    return ConfirmedRecord(file.apply, file.revision, file.backend, file.boot, document, loaded)


@dataclass(frozen=True, slots=True)
class DriftRecord(StateFile):
    """What the drift monitor saw and reported since the last confirmed apply; it reports each change once.

    `mark` identifies the drift that was reported last, empty for none. `docker` are the backends that
    contained Docker's chains at the first check, None before it. `heals` are the times (CLOCK_BOOTTIME of the
    boot `boot`) of self-repairs; `rests` is set after too many of them. `told` counts the reports, and `salt`
    makes their ids unique. `docker_calls` are the families and tables ("4 nat") in which Docker's own chains
    were called at some check of the boot `docker_boot`.
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
    docker_calls: Annotated[
        tuple[Annotated[str, OneOf(_CALLS)], ...], AtMost(len(_CALLS)), Absent.ALLOWED
    ] = ()

    def remember_docker(self, snapshot: Snapshot) -> DriftRecord:
        """Return the record with the tables in which Docker's chains are called now, too."""
        before = self.docker_calls if self.docker_boot == boot_id() else ()
        here = {*_docker_calls(snapshot), *before}
        return replace(
            self, docker_boot=boot_id(), docker_calls=tuple(call for call in _CALLS if call in here)
        )

    def docker_gone(self, snapshot: Snapshot) -> tuple[Family, ...]:
        """Return the families in which some table called Docker's chains since the boot, and does not now.

        Docker itself leaves its rules when it stops, so another program has flushed or removed them.
        """
        moved = any(backend != snapshot.backend for backend in snapshot.docker_backends)
        if self.docker_boot != boot_id() or moved or snapshot.docker_state == "nftables":
            return ()
        gone = {*self.docker_calls} - {*_docker_calls(snapshot)}
        return tuple(
            family
            for family in FAMILIES
            if family not in snapshot.unread and any(call.startswith(f"{family} ") for call in gone)
        )


def _docker_calls(snapshot: Snapshot) -> Iterator[str]:
    return (
        f"{family} {_TABLES[found[1]]}"
        for family, save in snapshot.saves.items()
        for chain in _TABLES
        for line in _lines_with(save, f"-A {chain} ")
        if (found := _DOCKER_CALLED.fullmatch(line))
    )


def _lines_with(save: str, words: str) -> Iterator[str]:
    """Yield the lines that contain these words: few of very many, so that no other line is looked at."""
    position = 0
    while (found := save.find(words, position)) >= 0:
        end = save.find("\n", found)
        position = len(save) if end < 0 else end
        yield save[save.rfind("\n", 0, found) + 1 : position]


def read_drift_record(path: Path) -> DriftRecord:
    """Return the drift monitor's record, a new one if there is none or it cannot be read."""
    try:
        raw = read_bounded(path, most=MAX_WINDOW_BYTES)
        return DriftRecord() if raw is None else DriftRecord.from_bytes(raw, str(path))
    except (StateError, OSError):
        # At worst a change is reported twice.
        return DriftRecord()
