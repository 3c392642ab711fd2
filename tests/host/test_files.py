"""Files of the state directory: whole or not at all, and one holder of the lock at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rules.host.files import (
    LockedOut,
    locked,
    read_bounded,
    remove_durably,
    write_all_durably,
    write_durably,
)
from rules.host.state import Begun, StateDirectory, StateError, UndoRecord


def test_write_replaces_as_a_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"one")
    write_durably(path, b"two", mode=0o640)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_nothing_is_replaced_when_one_of_several_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="No such file"):
        write_all_durably({tmp_path / "a": (b"new", 0o600), tmp_path / "none" / "b": (b"new", 0o600)})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, most=5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_bounded(path, most=4)
    remove_durably(path)
    assert read_bounded(path) is None


def test_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, seconds=0), pytest.raises(LockedOut), locked(path, seconds=0.1):
        pass
    with locked(path, seconds=0):
        pass


def test_state_is_remembered(state: StateDirectory) -> None:
    assert state.last_begun() == Begun(0, "")
    state.write_begun(Begun(7, "x"))
    assert StateDirectory(state.path).last_begun() == Begun(7, "x")
    record = UndoRecord(
        apply="11111111-1111-4111-8111-111111111111",
        host="local",
        event=5,
        revision=3,
        backend="nft",
        saves={4: "# \udcff\n", 6: ""},
        restores={4: "x"},
        boot_files={
            "rules.v4": "y",
            "rules.v6": None,
            "dockerfw-boot.sh": None,
            "dockerfw-boot.service": None,
        },
    )
    state.write_undo(record)
    assert state.read_undo() == record
    state.clear_undo()
    assert state.read_undo() is None


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"[]", b"\xff", b'{"sequence": "1", "apply": "x"}', b'{"sequence": -1}']
)
def test_junk_in_the_state_is_not_guessed_at(state: StateDirectory, junk: bytes) -> None:
    (state.path / "sequence.json").write_bytes(junk)
    with pytest.raises(StateError, match=r"sequence\.json"):
        state.last_begun()
