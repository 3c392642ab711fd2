"""The folders of rehearsals: those of dead processes are removed, all others stay."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dockerfw.host.scratch import LOCK_FILE, remove_leftovers
from tests.rig.namespace import PATIENCE, end_process

ROOT = Path(__file__).parents[2]
REHEARSES = """
import sys
from dockerfw.host.scratch import LOCK_FILE, scratch_folder
with scratch_folder() as folder:
    (folder / LOCK_FILE).touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a folder of this test for temporary files, also in the processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def rehearsing() -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start a process that is in the middle of a rehearsal; return it and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", REHEARSES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process, Path(process.stdout.readline().decode().strip())
    finally:
        end_process(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def id_of_ended_process() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait(PATIENCE)
    return process.pid


def test_the_folder_of_a_killed_rehearsal_is_removed_and_that_of_a_running_one_stays() -> None:
    with rehearsing() as (dead, left), rehearsing() as (_, in_use):
        dead.kill()
        dead.wait(PATIENCE)
        assert (left / LOCK_FILE).exists()
        assert remove_leftovers() == 1
        assert not left.exists()
        assert (in_use / LOCK_FILE).exists()


def test_other_files_with_such_a_name_stay(temporary: Path) -> None:
    pid = id_of_ended_process()
    full = temporary / f"dockerfw-rehearsal-{pid}-full"
    full.mkdir()
    (full / "notes").write_text("not a rehearsal's")
    link = temporary / f"dockerfw-rehearsal-{pid}-link"
    link.symlink_to(temporary / "elsewhere")
    (temporary / "elsewhere").mkdir()
    (temporary / "elsewhere" / LOCK_FILE).touch()
    other = temporary / "dockerfw-rehearsal-mine"
    other.mkdir()
    assert remove_leftovers() == 0
    assert full.exists()
    assert link.is_symlink()
    assert other.exists()
    assert (temporary / "elsewhere" / LOCK_FILE).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_stays(temporary: Path) -> None:
    pid = id_of_ended_process()
    folder = temporary / f"dockerfw-rehearsal-{pid}-other"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    assert remove_leftovers() == 0
    assert folder.exists()
