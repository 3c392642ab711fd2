"""The file of a backup: it comes back as it was, or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from dataclasses import replace
from typing import Any

import pytest

from rules.backup.archive import DATABASE, MANIFEST, BackupError, Manifest, read_archive, write_archive

MEMBERS = {
    "secret_key": b"k" * 50,
    "settings/site.env": b"DOCKERFW_TIME_ZONE=UTC\n",
    "state/sequence.json": b"{}",
}
ROWS = b'{"model":"rules.host","row":{}}\n' * 40
GOOD = Manifest(
    "0.2.0", "2026-11-23T12:00:00Z", "local", {"migrations": [], "rows": {}}, ("database", "state")
)


def good() -> bytes:
    out = io.BytesIO()
    write_archive(out, GOOD, io.BytesIO(ROWS), MEMBERS)
    return out.getvalue()


def read(raw: bytes) -> Any:
    return read_archive(io.BytesIO(raw), "b")


def made(*members: tuple[tarfile.TarInfo | str, bytes], manifest: dict[str, Any] | None = None) -> bytes:
    """Pack a tar by hand, with a manifest that is true but for the keys in `manifest`."""
    named = [(tarfile.TarInfo(info) if isinstance(info, str) else info, content) for info, content in members]
    listed = {
        info.name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for info, content in named
    }
    value = {
        "format": "dockerfw-backup/1",
        "version": "0.2.0",
        "made_at": "2026-11-23T12:00:00Z",
        "host": "local",
        "parts": ["database"],
        "database": {},
        "members": listed,
        **(manifest or {}),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in [(tarfile.TarInfo(MANIFEST), json.dumps(value).encode()), *named]:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return lzma.compress(out.getvalue())


def info(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


def test_what_goes_in_comes_out() -> None:
    found = read(good())
    assert replace(found.manifest, members={}) == GOOD
    assert found.manifest.members.keys() == {DATABASE, *MEMBERS}
    assert (found.members, found.rows.read()) == (MEMBERS, ROWS)
    assert read(made((DATABASE, b"x"))).rows.read() == b"x"


def test_any_tar_program_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(good()), mode="r:xz") as tar:
        assert tar.getnames() == [MANIFEST, *MEMBERS, DATABASE]


def test_cut_off_anywhere_it_is_refused() -> None:
    raw = good()
    for length in range(0, len(raw), 7):
        with pytest.raises(BackupError, match=r"incomplete|not a backup|damaged"):
            read(raw[:length])


def test_with_any_bit_flipped_it_is_refused() -> None:
    raw = good()
    for position in range(len(raw)):
        with pytest.raises(BackupError):
            read(raw[:position] + bytes([raw[position] ^ (1 << position % 8)]) + raw[position + 1 :])


WRONG_MEMBERS: dict[str, tuple[tarfile.TarInfo | str, bytes]] = {
    "a way out": ("../../etc/shadow", b"x"),
    "an absolute path": ("/etc/cron.d/x", b"x"),
    "a way out below settings": ("settings/../../x.env", b"x"),
    "a boot script": ("state/boot/dockerfw-boot.sh", b"#!/bin/sh\n"),
    "a link": (info("secret_key", tarfile.SYMTYPE, "/etc/shadow"), b""),
    "a hard link": (info("secret_key", tarfile.LNKTYPE, "/etc/shadow"), b""),
    "a device": (info("secret_key", tarfile.BLKTYPE), b""),
    "a folder": (info("settings", tarfile.DIRTYPE), b""),
    "redis.conf": ("settings/redis.conf", b"loadmodule /tmp/x.so\n"),
}


@pytest.mark.parametrize("name", WRONG_MEMBERS)
def test_no_other_member_is_taken(name: str) -> None:
    member = WRONG_MEMBERS[name]
    honest = {DATABASE: {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}}
    with pytest.raises(BackupError):
        read(made((DATABASE, b"x"), member))
    with pytest.raises(BackupError, match=r"not a plain file|backups have no member"):
        read(made((DATABASE, b"x"), member, manifest={"members": honest}))


def test_the_manifest_has_to_be_true() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    for listed, words in (
        ({DATABASE: {"size": 1, "sha256": "0" * 64}}, "was changed"),
        ({DATABASE: {"size": 2, "sha256": digest}}, "has 1 bytes"),
        (
            {DATABASE: {"size": 1, "sha256": digest}, "secret_key": {"size": 1, "sha256": digest}},
            "but missing",
        ),
        ({}, "names no database"),
    ):
        with pytest.raises(BackupError, match=words):
            read(made((DATABASE, b"x"), manifest={"members": listed}))
    with pytest.raises(BackupError, match="does not name"):
        read(made((DATABASE, b"x"), (DATABASE, b"x")))
    with pytest.raises(BackupError, match="newer dockerfw"):
        read(made((DATABASE, b"x"), manifest={"format": "dockerfw-backup/2"}))
    with pytest.raises(BackupError, match="cannot be read"):
        read(made((DATABASE, b"x"), manifest={"made_at": "yesterday"}))


def test_what_is_no_backup_is_named_so() -> None:
    for raw in (b"", b"hello", lzma.compress(b""), lzma.compress(b"\0" * 10240), lzma.compress(b"x" * 2000)):
        with pytest.raises(BackupError, match=r"incomplete|not a backup|damaged|no backup"):
            read(raw)
    for more in (b"x", good()):
        with pytest.raises(BackupError, match="data after its end"):
            read(good() + more)
