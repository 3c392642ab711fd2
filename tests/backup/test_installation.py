"""Backup and restore by the command, on what the first release left behind: all of it or nothing."""

from __future__ import annotations

import fcntl
import json
import lzma
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from dockerfw.chains.boot import render_boot_rules
from dockerfw.chains.render import DIALLED_TO_LOOPBACK
from dockerfw.chains.set_matches import earlier_line
from dockerfw.iptables.model import Family
from dockerfw.store.backup import state_check
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.records import StateError
from dockerfw.store.state import StateDirectory
from rules.backup.archive import Archive, BackupError, read_archive, write_archive
from rules.backup.restore_services import rows_check, source_check
from rules.backup.settings_files import settings_check
from rules.pages.errors import ServiceError
from tests.backup.installation import Installation, python_in_reach, released

RELEASE = "0.1.0"
ADDED = DIALLED_TO_LOOPBACK.values()
NOBODY = 65534


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, Path]:
    directory = tmp_path_factory.mktemp("installation")
    source = released(RELEASE, directory)
    source.firewall("backup", str(directory / "backup"))
    return source, directory / "backup"


@pytest.fixture
def source(_made: tuple[Installation, Path]) -> Installation:
    """The installation that was backed up."""
    return _made[0]


@pytest.fixture
def backup(_made: tuple[Installation, Path]) -> str:
    """Its backup."""
    return str(_made[1])


@pytest.fixture
def empty(tmp_path: Path) -> Installation:
    """A machine on which dockerfw was just installed."""
    return Installation(tmp_path / "new")


@pytest.fixture(scope="module")
def restored(
    _made: tuple[Installation, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Installation, str]:
    """A machine on which the backup was restored, and what was said of it."""
    empty = Installation(tmp_path_factory.mktemp("restored"))
    return empty, empty.firewall("restore", str(_made[1]), "--no-live")


def as_before(text: str, family: Family) -> str:
    """Return the text of a boot file without what this release adds to the rules."""
    start = "-A FILTERS-HOST "
    lines = [line for line in text.split("\n") if not line.endswith(tuple(ADDED))]
    found = [
        f"{start}{earlier}" if line.startswith(start) else line
        for line in lines
        if (earlier := earlier_line(line.removeprefix(start), family)) is not None
    ]
    return "\n".join(found)


def test_a_machine_that_is_gone_comes_back(
    source: Installation, backup: str, restored: tuple[Installation, str]
) -> None:
    assert os.stat(backup).st_mode & 0o777 == 0o600
    made = Path(backup).stat().st_mtime_ns // 1_000_000
    empty, said = restored
    assert "4 revisions: all digests were recomputed and match" in said
    old, new = source.rows(), empty.rows(like=source)
    assert len(old["rules_auditevent"]) > 20
    told = new["rules_auditevent"].pop()
    assert new == old
    assert told["verb"] == "backup-restore"
    assert told["detail"].startswith("backup of local made at ")
    # The settings, the key and what a boot loads are as they were; the numbers have gone on.
    files, expected = empty.files(), source.files()
    for name, content in expected.items():
        if name.startswith(("settings/", "web/secret", "state/boot")) and not name.endswith(".sh"):
            # This release writes some lines differently, and the restored files have those.
            assert as_before(files[name].decode(), 6 if name.endswith(".v6") else 4).encode() == content, name
    script = files[
        f"state/boot-sets/{files['state/boot'].decode().removeprefix('boot-sets/')}/dockerfw-boot.sh"
    ]
    assert f"directory={empty.state}/boot".encode() in script
    sequence = json.loads(files["state/sequence.json"])["sequence"]
    assert sequence >= made
    assert empty.query("SELECT sequence FROM rules_host") == [(sequence,)]
    assert (empty.data / "dockerfw.sqlite3").stat().st_mode & 0o077 == 0


def test_history_cannot_be_changed_after_a_restore(restored: tuple[Installation, str]) -> None:
    empty, _ = restored
    for table, column in (("rules_revision", "message"), ("rules_auditevent", "detail")):
        for text in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                empty.query(text)
    assert empty.manage("migrate", "--check").returncode == 0


@pytest.mark.parametrize(("ahead", "kept_number"), [(120_000, True), (2**52, False)])
def test_over_an_installation_only_when_told_so(
    backup: str, tmp_path: Path, ahead: int, kept_number: bool
) -> None:
    there = released(RELEASE, tmp_path / "there")
    there.manage("migrate", "--verbosity", "0")
    (there.settings / "users.acl").write_text("user default off\n")
    (there.data / "secret_key").write_text("another-key-of-this-machine-0123456789abcdef\n")
    before = there.files()
    assert "--replace" in there.refused("restore", backup)
    assert there.files() == before
    state = json.loads(before["state/sequence.json"])
    number = int(time.time() * 1000) + ahead
    (there.state / "sequence.json").write_text(json.dumps({**state, "sequence": number}))
    said = there.firewall("restore", backup, "--replace", "--no-live")
    kept = [name for name in there.files() if "before-restore-" in name]
    assert "The former installation is kept" in said
    aside = next(name for name in kept if name.startswith("web/dockerfw.sqlite3."))
    assert there.files()[aside] == before["web/dockerfw.sqlite3"]
    for start in ("web/secret_key.", "settings/users.acl.", "state/before-restore-"):
        assert any(name.startswith(start) for name in kept), start
    # The host's own number was ahead, and nothing may lead behind it, unless no order could ever follow it.
    now = json.loads(there.files()["state/sequence.json"])["sequence"]
    assert now == number if kept_number else now < time.time() * 1000 + 60_000
    assert there.query("SELECT sequence FROM rules_host") == [(now,)]


@contextmanager
def held(path: Path, kind: int) -> Iterator[None]:
    """Hold a lock as a process that runs does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, kind)
        yield


def test_nothing_is_restored_while_a_process_uses_the_database(backup: str, empty: Installation) -> None:
    for path, kind, words in (
        (empty.data / "in-use.lock", fcntl.LOCK_SH, "in-use.lock"),
        (empty.state / "worker.lock", fcntl.LOCK_EX, "The root worker is running"),
        (empty.state / "watchdog.lock", fcntl.LOCK_EX, "An apply waits"),
    ):
        with held(path, kind):
            assert words in empty.refused("restore", backup)
    assert [name for name in empty.files() if "lock" not in name] == []
    assert not (empty.data / "dockerfw.sqlite3").exists()


def test_a_database_that_others_have_open_is_not_replaced(backup: str, tmp_path: Path) -> None:
    there = released(RELEASE, tmp_path / "there")
    with closing(sqlite3.connect(there.data / "dockerfw.sqlite3")) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("SELECT count(*) FROM rules_rule").fetchall()
        assert "in use" in there.refused("restore", backup, "--replace")
    there.firewall("restore", backup, "--replace", "--no-live")


def test_what_fails_on_the_way_leaves_everything_as_it_was(backup: str, tmp_path: Path) -> None:
    there = released(RELEASE, tmp_path / "there")
    there.manage("migrate", "--verbosity", "0")
    (there.settings / "web.env").write_text("DOCKERFW_TIME_ZONE=UTC\n")
    # The last that is put in place before the database cannot be written.
    (there.settings / ".web.env.new" / "x").mkdir(parents=True)
    before = there.files()
    said = there.refused("restore", backup, "--replace")
    assert said.startswith("nothing was restored")
    assert there.files() == before


def changed(
    backup: str, to: Path, change: Callable[[dict[str, bytes], dict[str, object]], bytes | None]
) -> str:
    """Write the backup again with valid digests; `change` may give other rows."""
    with open(backup, "rb") as file:
        archive: Archive = read_archive(file, backup)
    members, facts = dict(archive.members), dict(archive.manifest.database)
    rows = change(members, facts)
    manifest = archive.manifest.__class__(
        archive.manifest.version,
        archive.manifest.made_at,
        archive.manifest.host,
        facts,
        archive.manifest.parts,
    )
    with to.open("wb") as out:
        write_archive(out, manifest, archive.rows if rows is None else BytesIO(rows), members)
    return str(to)


def rows_of(backup: str) -> bytes:
    with open(backup, "rb") as file:
        return read_archive(file, backup).rows.read()


Members = dict[str, bytes]
Facts = dict[str, object]


def preload(members: Members, facts: Facts) -> None:
    members["settings/root-local.env"] = b"DOCKERFW_HOST=local\nLD_PRELOAD=/tmp/x.so\n"


def joined(members: Members, facts: Facts) -> None:
    members["settings/web.env"] = b"DOCKERFW_HOST=local \\\nDOCKERFW_DEBUG=1\n"


def acl(members: Members, facts: Facts) -> None:
    members["settings/users.acl"] = b"loadmodule /tmp/x.so\n"


def other_document(members: Members, facts: Facts) -> None:
    members["state/confirmed.json"] = members["state/confirmed.json"].replace(b'"22"', b'"23"')


def letter(members: Members, facts: Facts) -> None:
    members["state/journal/outcome-1.json"] = b"{}"


def newer(members: Members, facts: Facts) -> None:
    facts["migrations"] = [*facts["migrations"], ["rules", "0999_later"]]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (preload, "LD_PRELOAD"),
        (joined, "continues on the next"),
        (acl, "users.acl line 1"),
        (other_document, "does not match the document"),
        (letter, "dockerfw has no such file"),
        (newer, "is of a newer dockerfw"),
    ],
)
def test_a_member_cannot_do_harm(
    backup: str, tmp_path: Path, change: Callable[[Members, Facts], None], words: str
) -> None:
    with open(changed(backup, tmp_path / "b", change), "rb") as file:
        archive = read_archive(file, "b")
    with pytest.raises((BackupError, StateError, ServiceError), match=words):
        check(archive)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda rows: rows.replace(b'\\"8000-8010\\"', b'\\"8000-8011\\"'),
            "does not match its digest",
        ),
        (lambda rows: rows + b'{"model":"rules.secret","row":{}}\n', "is not valid"),
        (lambda rows: rows.replace(b'"number":1,', b'"number":' + 4_000_000 * b"1" + b","), "at most 100"),
        (
            lambda rows: rows.replace(b'"number":1,', b'"number":"' + 4_000_000 * b"1" + b'",'),
            "number is not a whole number",
        ),
        (lambda rows: rows.replace(b'"host_id":1,', b'"host_id":1e999,'), "host_id is not a whole number"),
        (lambda rows: b"\n".join(rows.split(b"\n")[:-3]) + b"\n", "differs from the manifest's"),
    ],
)
def test_rows_cannot_do_harm(
    backup: str, tmp_path: Path, change: Callable[[bytes], bytes], words: str
) -> None:
    other = changed(backup, tmp_path / "b", lambda members, facts: change(rows_of(backup)))
    with open(other, "rb") as file:
        archive = read_archive(file, "b")
    with pytest.raises((BackupError, ServiceError), match=words):
        check(archive)


def test_what_is_refused_has_changed_nothing(backup: str, empty: Installation, tmp_path: Path) -> None:
    def orphan(members: Members, facts: Facts) -> bytes:
        return rows_of(backup).replace(b'"host_id":1', b'"host_id":77')

    assert "do not match each other" in empty.refused("restore", changed(backup, tmp_path / "b", orphan))
    assert "LD_PRELOAD" in empty.refused("restore", changed(backup, tmp_path / "b", preload))
    assert not (empty.data / "dockerfw.sqlite3").exists()
    assert not (empty.state / "boot").exists()
    empty.firewall("restore", str(tmp_path / "b"), "--without-settings", "--no-live")
    assert list(empty.settings.iterdir()) == []


def check(archive: Archive) -> None:
    """Check a backup as restore does before it changes anything."""
    source = source_check(dict(archive.manifest.database))
    settings_check(archive.members)
    state_check(archive.members)
    rows_check(archive.rows, source)


def test_a_damaged_file_is_told_in_one_sentence(backup: str, empty: Installation, tmp_path: Path) -> None:
    raw = Path(backup).read_bytes()
    (tmp_path / "half").write_bytes(raw[: len(raw) // 2])
    assert "incomplete" in empty.refused("restore", str(tmp_path / "half"))
    assert "No such file" in empty.refused("restore", str(tmp_path / "none"))
    assert "It can be restored" in empty.firewall("restore", backup, "--check")
    assert "No such file" in empty.refused("backup", str(tmp_path / "none" / "b"))


def test_an_open_window_is_not_opened_again(tmp_path: Path) -> None:
    there = released(RELEASE, tmp_path / "there")
    there.query(
        "UPDATE rules_apply SET state = 'awaiting', finished_at = NULL "
        "WHERE sequence = (SELECT max(sequence) FROM rules_apply)"
    )
    there.firewall("backup", str(tmp_path / "b"))
    new = Installation(tmp_path / "new")
    assert "given up" in new.firewall("restore", str(tmp_path / "b"), "--no-live")
    state, error = new.query("SELECT state, error FROM rules_apply ORDER BY sequence DESC LIMIT 1")[0]
    assert state == "failed"
    assert "was still running when the restored backup was made" in error
    assert not (new.state / "window.json").exists()


def test_root_leaves_nothing_of_its_own_among_the_web_sides_files(backup: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can work as another user")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o711)
        there = released(RELEASE, Path(place) / "there")
        there.python = python_in_reach()
        for path in (there.data, *there.data.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        there.firewall("restore", backup, "--replace", "--no-live")
        assert {path.stat().st_uid for path in there.data.iterdir()} == {NOBODY}
        assert {path.stat().st_uid for path in there.state.iterdir()} == {0}
        there.firewall("backup", f"{place}/again")


def test_an_ordinary_user_has_the_database_only(backup: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o711)
        there = released(RELEASE, Path(place) / "there")
        before = there.files()
        for path in (there.data, *there.data.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        done = there.manage("firewall", "backup", "-", user=NOBODY)
        assert b"only the database" in done.stderr
        assert read_archive(BytesIO(done.stdout), "-").manifest.parts == ("database",)
        done = there.manage(
            "firewall", "restore", "-", "--replace", given=Path(backup).read_bytes(), user=NOBODY
        )
        assert b"Only the database was restored" in done.stdout, done.stderr
        after = there.files()
        rest = {name for name in before if not name.startswith("web/")}
        assert {name: after[name] for name in rest} == {name: before[name] for name in rest}


def test_boot_rules_are_written_anew(backup: str, restored: tuple[Installation, str]) -> None:
    empty, _ = restored
    confirmed = read_confirmed(StateDirectory(empty.state).boot)
    assert confirmed is not None
    assert (empty.state / "boot" / "rules.v4").read_text() == render_boot_rules(
        confirmed.document, 4, confirmed.revision
    )
    with tarfile.open(fileobj=BytesIO(lzma.decompress(Path(backup).read_bytes()))) as tar:
        assert not [name for name in tar.getnames() if "boot" in name or "rules.v" in name]
