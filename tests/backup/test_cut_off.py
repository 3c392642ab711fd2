"""A restore that is killed between two parts: no process runs with a mix, and another restore repairs it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.agent.root import is_restore_unfinished
from dockerfw.store.backup import state_take
from dockerfw.store.bootfiles import switch_boot_set, write_boot_set
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.interrupted import (
    MOST_BYTES,
    NOTE,
    RestoreNote,
    RestoreRecord,
    RestoreUnfinished,
    read_restore_record,
)
from dockerfw.store.state import StateDirectory
from dockerfw_site.environment import read_environment
from tests.backup.installation import ROOT, Installation, released
from tests.backup.warm import WarmInstallation
from tests.rig.namespace import Namespace, wait_until

RELEASE = "0.1.0"
OWN_REVISION = 77
ZONE = "DOCKERFW_TIME_ZONE=Europe/Paris\n"
KEY = "another-key-of-this-machine-0123456789abcdef\n"
# A point, and which parts are the backup's by then; the database's process alone is killed at "restore-key".
POINTS: tuple[tuple[str, set[str]], ...] = (
    ("restore-noted", set()),
    ("keep-switch", {"sequence"}),
    ("restore-settings", {"sequence", "boot", "settings"}),
    ("restore-key", {"sequence", "boot", "settings", "key"}),
    ("restore-database", {"sequence", "boot", "settings", "key", "database"}),
)


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """Where the points are."""
    (tmp_path / "hooks").mkdir()
    return tmp_path / "hooks"


@pytest.fixture
def there(tmp_path: Path, hooks: Path) -> Iterator[WarmInstallation]:
    """What a release left behind."""
    released(RELEASE, tmp_path / "there")
    installation = WarmInstallation(tmp_path / "there", hooks)
    try:
        yield installation
    finally:
        installation.close()


def make_another(there: Installation) -> None:
    """Change each part of an installation, so that it can be told from what it was."""
    (there.settings / "web.env").write_text(ZONE)
    (there.data / "secret_key").write_text(KEY)
    there.query("UPDATE rules_rule SET comment = 'mine'")
    boot = StateDirectory(there.state).boot
    confirmed = read_confirmed(boot)
    assert confirmed is not None
    own = replace(confirmed, revision=OWN_REVISION, apply="11111111-1111-4111-8111-111111111111")
    switch_boot_set(write_boot_set(own, boot=boot), boot)


def restored_parts(there: Installation) -> set[str]:
    """Return which parts are the backup's."""
    state = StateDirectory(there.state)
    confirmed = read_confirmed(state.boot)
    assert confirmed is not None
    found = {
        "sequence": state.read_last_order().apply == "",
        "boot": confirmed.revision != OWN_REVISION,
        "settings": (there.settings / "web.env").read_text() != ZONE,
        "key": (there.data / "secret_key").read_text() != KEY,
        "database": there.query("SELECT count(*) FROM rules_rule WHERE comment = 'mine'") == [(0,)],
    }
    return {part for part, there_now in found.items() if there_now}


def cut_off(there: WarmInstallation, backup: str, point: str, hooks: Path) -> str:
    """Kill a restore at a point: all its processes, or the database's if that is what came there."""
    (hooks / "reached").write_text("")
    (hooks / point).touch()
    there.start("firewall", "restore", backup, "--replace", "--no-live")
    reached = re.compile(rf"^{point} (\d+)$", re.MULTILINE)

    def came() -> re.Match[str] | None:
        assert not there.ended(), there.end().stderr
        return reached.search((hooks / "reached").read_text())

    wait_until(point, came)
    found = came()
    assert found is not None
    whole = int(found[1]) == there.pid
    if whole:
        there.kill()
    else:
        os.kill(int(found[1]), signal.SIGKILL)
    done = there.end()
    assert done.returncode == (-signal.SIGKILL if whole else 2)
    (hooks / point).unlink()
    return done.stderr.decode()


def worker(there: Installation, namespace: Namespace) -> tuple[int, str]:
    """Start the root worker, which has to end by itself; return its status and what it said."""
    done = namespace.run(
        *(sys.executable, "-m", "dockerfw", "agent"),
        environment={**there.environment, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return done.returncode, done.stderr.decode()


def below(there: Installation, folder: str) -> dict[str, bytes]:
    """Return the files below a folder of an installation."""
    return {
        name.removeprefix(folder): content
        for name, content in there.files().items()
        if name.startswith(folder)
    }


@pytest.mark.kernel
def test_no_process_runs_with_a_mix_and_another_restore_repairs_it(
    there: WarmInstallation, hooks: Path, namespace: Namespace, tmp_path: Path
) -> None:
    (there.settings / "web.env").write_text("DOCKERFW_TIME_ZONE=UTC\n")
    backup = str(tmp_path / "backup")
    there.firewall("backup", backup)
    make_another(there)
    former = below(there, "state/")
    names = set()
    for point, parts in POINTS:
        said = cut_off(there, backup, point, hooks)
        assert restored_parts(there) == parts, point
        if point == "restore-key":
            assert "cannot tell whether the database was restored" in said
            assert said.count("\n") == 1
        left = read_restore_record(there.state)
        assert left is not None
        assert left.settings
        names.add(left.aside)
        if point in (POINTS[0][0], POINTS[-1][0]):
            status, said = worker(there, namespace)
            assert status == 1, said
            assert "A restore did not finish (of the backup made at 20" in said
            assert f"end in {left.aside} or a later time, the state in {there.state}. Stop dockerfw" in said
            assert "restore again: dockerfw restore FILE --replace" in said
            assert said.count("\n") == 1

    # The names are those of the first restore, and with them is the installation that was there.
    (first,) = names
    kept = below(there, f"state/{first}/")
    assert {"sequence.json", "boot"} <= kept.keys()
    assert kept == {name: content for name, content in former.items() if name in kept}

    found = {
        check["id"]: check
        for check in json.loads(there.manage("firewall", "doctor", "--json").stdout)["checks"]
    }
    assert found["queue.restore"]["level"] == "problem"
    assert first in found["queue.restore"]["text"]
    for check in ("queue.restore", "queue.root-worker"):
        assert "dockerfw restore FILE --replace" in found[check]["todo"]
    assert "no backup was made: A restore did not finish" in there.refused("backup", str(tmp_path / "mix"))
    assert f"{there.state}. Stop dockerfw" in there.refused("restore", backup)
    assert "restore them too" in there.refused("restore", backup, "--replace", "--without-settings")

    said = there.firewall("restore", backup, "--replace", "--no-live")
    assert f"kept too, under names that end in {first} or a later time" in said
    assert read_restore_record(there.state) is None
    assert restored_parts(there) == POINTS[-1][1]
    assert below(there, f"state/{first}/") == kept
    # Nothing of the installation that was there first is lost.
    assert KEY.encode() in below(there, "web/secret_key.").values()
    assert ZONE.encode() in below(there, "settings/web.env.").values()
    assert any(b"'mine'" in rows for rows in below(there, "web/dockerfw.sqlite3.").values())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}",
        b"\xff",
        b"[" * MOST_BYTES,
        b" " * (MOST_BYTES + 1),
        b'{"format": "dockerfw-restoring/9"}',
    ],
    ids=["empty", "cut", "fields", "binary", "nested", "large", "newer"],
)
def test_a_damaged_note_counts_as_one(tmp_path: Path, content: bytes) -> None:
    state = StateDirectory(tmp_path)
    (tmp_path / NOTE).write_bytes(content)
    refuses(state)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    note = tmp_path / NOTE
    os.mkfifo(note)
    refuses(state)
    note.symlink_to("/dev/zero")
    refuses(state)
    note.symlink_to("nowhere")
    refuses(state)


def refuses(state: StateDirectory) -> None:
    """Check that no process runs beside an unreadable note, and that a restore removes it."""
    assert read_restore_record(state.path) == RestoreRecord()
    assert is_restore_unfinished(read_environment({}), state)
    with pytest.raises(RestoreUnfinished, match=r"end in before-restore- and a time, the state in "):
        state_take(state)
    again = RestoreNote(
        state.path,
        backup="2026-01-31T12:00:00Z",
        aside="before-restore-20260131T120000.000000",
        settings=False,
    )
    again.write()
    # The undone state is the former one: a mix, with unknown names.
    again.end_undone()
    left = read_restore_record(state.path)
    assert left is not None
    assert (left.aside, left.backup) == ("", "2026-01-31T12:00:00Z")
    again.end()
    assert read_restore_record(state.path) is None
