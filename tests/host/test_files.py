"""Files of the state directory: each is whole or absent, and the lock has one holder at a time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.host import files
from dockerfw.host.files import (
    LockHeld,
    lock_holders,
    locked,
    read_bounded,
    remove_durably,
    write_all_durably,
    write_durably,
)
from dockerfw.messages.outcomes import Step
from dockerfw.store import outbox as outbox_module
from dockerfw.store.outbox import Outbox
from dockerfw.store.records import UndoRecord, WindowRecord
from dockerfw.store.state import LastOrder, StateDirectory, StateError
from dockerfw.window.supervisor import Minder
from tests.messages.test_orders import OUTCOME

APPLY = "11111111-1111-4111-8111-111111111111"
ROOT = Path(__file__).parents[2]


def test_a_write_replaces_the_whole_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
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
    with locked(path, seconds=0), pytest.raises(LockHeld), locked(path, seconds=0.1):
        pass
    with locked(path, seconds=0):
        pass


def test_the_state_is_stored(state: StateDirectory) -> None:
    assert state.read_last_order() == LastOrder(0, "")
    state.write_last_order(LastOrder(7, "x"))
    assert StateDirectory(state.path).read_last_order() == LastOrder(7, "x")
    undo = UndoRecord(APPLY, "nft", {"format": "dockerfw/1"}, {4: "# \udcff\n", 6: ""}, {4: "x"})
    step = Step("lock", "done", "2026-01-31T12:00:00Z", 0.1, "")
    window = WindowRecord(APPLY, "local", 5, 3, "ab" * 32, "loading", 60, 1.5, 61.5, "boot", (step,))
    window = replace(window, end_sessions=True)
    state.open_window(window, undo)
    assert (state.read_window(), state.read_undo()) == (window, undo)
    mark = state.window_version()
    state.write_window(replace(window, phase="awaiting"))
    assert state.window_version() not in (mark, None)
    assert state.read_window() == replace(window, phase="awaiting")
    state.close_window()
    assert (state.read_window(), state.read_undo(), state.window_version()) == (None, None, None)


def test_a_window_without_end_sessions_is_read() -> None:
    window = WindowRecord(APPLY, "local", 5, 3, "ab" * 32, "awaiting", 60, 1.5, 61.5, "boot", ())
    value = json.loads(window.to_bytes())
    del value["end_sessions"]
    assert WindowRecord.from_bytes(json.dumps(value).encode(), "window.json") == window


def test_lock_is_held_by_the_commands_of_a_process_that_was_killed(state: StateDirectory) -> None:
    code = (
        "import sys; from pathlib import Path; from dockerfw.host import runner;"
        "from dockerfw.store import state;"
        "lock = state.StateDirectory(Path(sys.argv[1])).lock(); lock.__enter__();"
        "command = runner.Command(('sh', '-c', 'kill -9 $PPID; exec sleep 60'));"
        "runner.run(command)"
    )
    started = subprocess.run([sys.executable, "-c", code, str(state.path)], cwd=ROOT, check=False)
    assert started.returncode == -9
    with pytest.raises(LockHeld), state.lock(seconds=0.3):
        pass
    (holder,) = lock_holders(state.path / "lock")
    assert Path(f"/proc/{holder}/comm").read_text() == "sleep\n"
    with state.lock_by_force(patience=0.1):
        assert not Path(f"/proc/{holder}/fd/0").exists()


def test_temporary_files_of_killed_processes_are_removed_when_a_worker_starts(state: StateDirectory) -> None:
    for draft in (state.path / ".undo.json.abc", state.journal / ".outcome-x.json.def"):
        draft.write_text("half")
    state.write_last_order(LastOrder(7, "x"))
    Minder(state, closed=lambda: None).start()
    assert sorted(path.name for path in state.path.iterdir()) == ["journal", "lock", "sequence.json"]
    assert not list(state.journal.iterdir())


def test_the_lock_works_where_nothing_can_be_written(state: StateDirectory) -> None:
    with state.lock():
        pass
    (state.path / "lock").chmod(0o400)
    with state.lock(seconds=0), pytest.raises(LockHeld), state.lock(seconds=0.1):
        pass


def test_a_full_disk_leaves_space_for_the_last_outcome(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(state.journal)
    outbox.reserve()
    reserve = state.journal / "reserve"
    write = files.write_durably

    def full(path: Path, content: bytes) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(outbox_module, "write_durably", full)
    outbox.write(OUTCOME)
    assert outbox.settled(OUTCOME.apply)
    assert not reserve.exists()


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"[]", b"\xff", b'{"sequence": "1", "apply": "x"}', b'{"sequence": -1}']
)
def test_an_invalid_state_file_is_an_error(state: StateDirectory, junk: bytes) -> None:
    (state.path / "sequence.json").write_bytes(junk)
    with pytest.raises(StateError, match=r"sequence\.json"):
        state.read_last_order()
