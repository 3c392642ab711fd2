"""The file format of a backup: a tar archive packed by xz, with a manifest as its first member.

Reading returns only members that the manifest names, with the right size and SHA-256 digest. Only the content
of plain files is read from a tar, and none of its paths is ever used on a disk.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, NoReturn

from dockerfw.messages.codec import AtMost, Message, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import AnyObject, Digest, HostName, Shape, Text, Time, Whole

FORMAT = "dockerfw-backup/1"
FAMILY = "dockerfw-backup/"
MANIFEST = "manifest.json"
DATABASE = "database.jsonl"
SECRET_KEY = "secret_key"  # noqa: S105 - the name of a file
# A tar with anything else in it (other paths, links, devices) is not a backup.
MEMBER = re.compile(
    r"database\.jsonl|secret_key|settings/[a-z0-9][a-z0-9-]{0,60}\.(?:env|acl)"
    r"|state/(?:sequence|confirmed)\.json|state/journal/[a-z0-9-]{1,90}\.json",
    re.ASCII,
)
MOST_MEMBERS = 5000
MOST_BYTES = 16 * 1024**3
MOST_SMALL_BYTES = 16 * 1024**2
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 256 * 1024
_MEMORY = 256 * 1024**2


class BackupError(Exception):
    """A backup cannot be made or restored; the text gives the reason in one sentence."""


@dataclass(frozen=True, slots=True)
class Member(Message):
    """The size and the SHA-256 digest of one file of a backup."""

    size: Annotated[int, Whole(most=MOST_BYTES)]
    sha256: Digest


class _Members(Shape):
    """An object with the members of a backup by their names."""

    __slots__ = ()

    def read(self, value: object) -> dict[str, Member]:
        """Return the members."""
        found = {}
        for name, member in AnyObject().read(value).items():
            try:
                if not MEMBER.fullmatch(name):
                    raise MessageError("", "is not a member of a backup")
                found[name] = Member.from_json(member)
                if name != DATABASE and found[name].size > MOST_SMALL_BYTES:
                    raise MessageError("size", f"is more than {MOST_SMALL_BYTES}")
            except MessageError as error:
                raise error.within(name[:80]) from None
        return found

    def write(self, value: Mapping[str, Member]) -> dict[str, object]:
        """Return the object."""
        return {name: member.to_json() for name, member in value.items()}


@dataclass(frozen=True, slots=True)
class Manifest(Message):
    """The description of a backup: dockerfw's version, time, host, and the facts of its database."""

    FORMAT: ClassVar = FORMAT

    version: Annotated[str, Text(64)]
    made_at: Time
    host: HostName
    database: Annotated[Mapping[str, Any], AnyObject()]
    parts: Annotated[tuple[Annotated[str, Text(20)], ...], AtMost(3)]
    members: Annotated[Mapping[str, Member], _Members()] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Archive:
    """A complete backup: its manifest, the rows of its database, and its small members."""

    manifest: Manifest
    rows: IO[bytes]
    members: Mapping[str, bytes]


def write_archive(out: IO[bytes], manifest: Manifest, rows: IO[bytes], members: Mapping[str, bytes]) -> None:
    """Write a backup to `out`. Raises OSError."""
    for name in members:
        assert MEMBER.fullmatch(name), name
    rows.seek(0)
    size, digest = _measure(rows)
    listed = {DATABASE: Member(size, digest)}
    for name, content in members.items():
        listed[name] = Member(len(content), hashlib.sha256(content).hexdigest())
    value = replace(manifest, members=listed).to_json()
    with lzma.LZMAFile(out, "wb", check=lzma.CHECK_SHA256, preset=3) as packed:
        _add(packed, MANIFEST, json.dumps(value, indent=1).encode())
        for name, content in members.items():
            _add(packed, name, content)
        rows.seek(0)
        packed.write(_header(DATABASE, size))
        while chunk := rows.read(_CHUNK):
            packed.write(chunk)
        packed.write(b"\0" * (-size % _BLOCK + 2 * _BLOCK))


def read_archive(file: IO[bytes], name: str, *, room: str | None = None) -> Archive:
    """Read and verify a complete backup; `name` is for messages. Raises BackupError and OSError.

    The rows are written to an unnamed file in the folder `room`, or in the system's own without one.
    """
    source = _Unpacked(file, name)
    first, size = _next_member(source) or _no_backup(name, "it is empty")
    if first != MANIFEST:
        _no_backup(name, f"it begins with {first!r} instead of a manifest")
    if size > MOST_SMALL_BYTES:
        _no_backup(name, "its manifest is too large")
    manifest = _read_manifest(_content(source, size), name)
    listed = manifest.members
    members: dict[str, bytes] = {}
    rows: IO[bytes] = tempfile.TemporaryFile(dir=room)  # noqa: SIM115 - the caller closes it
    seen = set()
    while found := _next_member(source):
        member, size = found
        if member not in listed or member in seen:
            raise BackupError(f"{name}: its manifest does not name the member {member[:80]!r}")
        seen.add(member)
        wanted = listed[member]
        if size != wanted.size:
            raise BackupError(f"{name}: {member} has {size} bytes, but its manifest says {wanted.size}")
        if member == DATABASE:
            digest = _copy(source, size, rows)
        else:
            members[member] = _content(source, size)
            digest = hashlib.sha256(members[member]).hexdigest()
        if digest != wanted.sha256:
            raise BackupError(f"{name}: {member} was changed: its SHA-256 is not what the manifest says")
    if missing := sorted(listed.keys() - seen):
        raise BackupError(f"{name}: {missing[0]} is in the manifest but missing")
    # Reading to the end checks the closing digest of xz. Tar programs pad the end with zeros.
    while rest := source.read(_CHUNK):
        if rest.strip(b"\0"):
            raise BackupError(f"{name}: it has data after its end")
    rows.seek(0)
    return Archive(manifest, rows, members)


class _Unpacked:
    """A backup file that is unpacked as it is read, up to a total size."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        self._total = 0

    @property
    def name(self) -> str:
        return self._name

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        parts = []
        while size and not self._decompressor.eof:
            packed = self._file.read(_CHUNK) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not packed:
                raise BackupError(f"{self._name}: it is incomplete: its end is missing")
            try:
                part = self._decompressor.decompress(packed, max_length=size)
            except lzma.LZMAError as error:
                raise BackupError(
                    f"{self._name}: it is damaged, or not a backup of dockerfw ({error})"
                ) from None
            parts.append(part)
            size -= len(part)
            self._total += len(part)
            if self._total > MOST_BYTES:
                raise BackupError(f"{self._name}: unpacked, it is larger than any backup of dockerfw")
        if self._decompressor.eof and (self._decompressor.unused_data or self._file.read(1)):
            raise BackupError(f"{self._name}: it has data after its end")
        return b"".join(parts)


def _read_manifest(raw: bytes, name: str) -> Manifest:
    try:
        value: Any = load_json(raw, max_bytes=MOST_SMALL_BYTES)
        found = str(value.get("format"))[:60] if isinstance(value, dict) else ""
        if found != FORMAT and found.startswith(FAMILY):
            raise BackupError(
                f"{name}: made by a newer dockerfw ({found}; this one reads {FORMAT}). Upgrade dockerfw first"
            )
        manifest = Manifest.from_json(value)
    except MessageError as error:
        raise BackupError(f"{name}: its manifest cannot be read: {error}") from None
    if DATABASE not in manifest.members or len(manifest.members) > MOST_MEMBERS:
        raise BackupError(f"{name}: its manifest names no database, or too many members")
    return manifest


def _next_member(source: _Unpacked) -> tuple[str, int] | None:
    """Read one header and return the member's name and size, None at the end of the tar."""
    block = source.read(_BLOCK)
    if block == b"\0" * _BLOCK:
        source.read(_BLOCK)
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
        _no_backup(source.name, "its content is not a tar archive")
    if header.type != tarfile.REGTYPE:
        _no_backup(source.name, f"its member {header.name[:80]!r} is not a plain file")
    if header.name != MANIFEST and not MEMBER.fullmatch(header.name):
        _no_backup(source.name, f"backups have no member {header.name[:80]!r}")
    return header.name, header.size


def _no_backup(name: str, why: str) -> NoReturn:
    raise BackupError(f"{name}: not a backup of dockerfw: {why}")


def _content(source: _Unpacked, size: int) -> bytes:
    content = source.read(size)
    source.read(-size % _BLOCK)
    if len(content) != size:
        raise BackupError(f"{source.name}: it is incomplete: its end is missing")
    return content


def _copy(source: _Unpacked, size: int, out: IO[bytes]) -> str:
    digest, left = hashlib.sha256(), size
    while left:
        chunk = source.read(min(left, _CHUNK))
        if not chunk:
            raise BackupError(f"{source.name}: it is incomplete: its end is missing")
        digest.update(chunk)
        out.write(chunk)
        left -= len(chunk)
    source.read(-size % _BLOCK)
    return digest.hexdigest()


def _measure(file: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _add(packed: IO[bytes], name: str, content: bytes) -> None:
    packed.write(_header(name, len(content)) + content + b"\0" * (-len(content) % _BLOCK))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def beside(name: str) -> str | None:
    """Return the folder of a backup file, for temporary files of its size; None for standard input."""
    return None if name == "-" else str(Path(name).absolute().parent)
