"""Whose the folders of a run are: what their user could lay in root's way, which root does not fall for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from scripts.stack import layout
from scripts.stack.errors import StackError
from scripts.stack.layout import HOST_STATE
from scripts.stack.options import Options
from scripts.stack.ownership import WebUser, check_own, check_roots_own, hand_over, write_for
from tests.test_units import DEPLOY, settings

ROOT = Path(__file__).resolve().parent.parent
ALICE = WebUser(12345, 12345, "alice")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def roots() -> Iterator[Path]:
    """A folder that is root's, as are all above it."""
    with TemporaryDirectory(prefix="dockerfw-test-", dir="/var/lib") as name:
        yield Path(name)


@needs_root
def test_only_folders_that_no_other_user_can_change_count_as_roots(roots: Path) -> None:
    check_roots_own(roots, "X")
    check_roots_own(roots / "not" / "there" / "yet", "X")


@needs_root
@pytest.mark.parametrize("depth", [0, 1])
def test_a_folder_of_another_user_is_refused(roots: Path, depth: int) -> None:
    state = roots / "above" / "state"
    state.mkdir(parents=True)
    wrong = (state, state.parent)[depth]
    os.chown(wrong, ALICE.uid, ALICE.gid)
    with pytest.raises(StackError, match=f"{re.escape(str(wrong))} belongs to the user 12345"):
        check_roots_own(state, "X")
    os.chown(wrong, 0, 0)
    for mode in (0o770, 0o707):
        wrong.chmod(mode)
        with pytest.raises(StackError, match=f"{re.escape(str(wrong))} can be written by others"):
            check_roots_own(state, "X")
    wrong.rename(roots / "moved")
    wrong.symlink_to(roots / "moved")
    with pytest.raises(StackError, match=f"{re.escape(str(wrong))} is not a folder"):
        check_roots_own(state, "X")


@needs_root
def test_host_refuses_a_state_folder_of_another_user_before_it_starts_anything(roots: Path) -> None:
    state = roots / "state"
    state.mkdir()
    os.chown(state, ALICE.uid, ALICE.gid)
    # In a namespace of its own: should it start in spite of all, it must not reach this machine's rules.
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "scripts.stack", "--host"],
        cwd=ROOT,
        env={**os.environ, "DOCKERFW_STATE_DIR": str(state), "DOCKERFW_DATA_DIR": str(roots / "data")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"{state} belongs to the user 12345. Choose another one with DOCKERFW_STATE_DIR" in done.stderr
    assert not (roots / "data").exists()


def test_the_units_and_host_keep_their_state_in_the_same_folder() -> None:
    found = settings(DEPLOY / "dockerfw-root.service")
    assert f"DOCKERFW_STATE_DIR={HOST_STATE}" in found["Environment"]
    assert found["StateDirectoryMode"] == ["0700"]


@needs_root
def test_a_folder_is_handed_over_without_what_links_lead_to(roots: Path) -> None:
    treasure = roots / "treasure"
    treasure.write_text("root's")
    web = roots / "web"
    (web / "inner").mkdir(parents=True)
    (web / "database").write_text("x")
    (web / "link").symlink_to(treasure)
    (web / "hard").hardlink_to(treasure)
    hand_over(web, ALICE, mode=0o700)
    assert [(web / name).lstat().st_uid for name in ("", "inner", "database", "link")] == [ALICE.uid] * 4
    assert treasure.stat().st_uid == 0
    other = roots / "other"
    other.symlink_to(roots)
    with pytest.raises(OSError, match="other"):
        hand_over(other, ALICE, mode=0o700)
    assert roots.stat().st_uid == 0


@needs_root
def test_a_file_is_written_anew_and_not_through_a_link(roots: Path) -> None:
    treasure = roots / "treasure"
    treasure.write_text("root's")
    path = roots / "file"
    path.symlink_to(treasure)
    write_for(ALICE, path, "alice's")
    assert treasure.read_text() == "root's"
    found = path.lstat()
    assert (path.read_text(), found.st_uid, found.st_mode & 0o777) == ("alice's", ALICE.uid, 0o600)


@needs_root
def test_what_root_has_made_only_root_can_change(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = roots / "data"
    monkeypatch.setenv("DOCKERFW_DATA_DIR", str(folder))
    monkeypatch.delenv("DOCKERFW_STATE_DIR", raising=False)
    # Who that is hangs on who can read the clone and run the interpreter here.
    monkeypatch.setattr(layout, "_web_user", lambda folder: ALICE)
    for _ in range(2):
        made = layout.prepare_layout(Options(host=False, bind="127.0.0.1", port=8000))
        os.close(made.lock)
    owners = {path.name: path.lstat().st_uid for path in folder.iterdir()}
    assert owners == {
        "log": 0,
        "state": 0,
        "run.lock": 0,
        "environment": 0,
        "web": ALICE.uid,
        "run": ALICE.uid,
    }
    for place in (folder, folder / "log", folder / "state"):
        assert (place.stat().st_uid, place.stat().st_mode & 0o022) == (0, 0)
    assert (made.redis_acl.stat().st_uid, made.redis_acl.stat().st_mode & 0o777) == (ALICE.uid, 0o600)


def test_a_folder_of_ones_own_is_not_one_that_others_write_to(tmp_path: Path) -> None:
    check_own(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(StackError, match="others can write to it"):
        check_own(tmp_path)
