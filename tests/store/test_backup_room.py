"""A restore of the state on a disk that is really full: the former state is there again, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dockerfw.document.document import parse_document
from dockerfw.host.clock import utc_now
from dockerfw.store.backup import StoredState, state_lock, state_replace
from dockerfw.store.bootfiles import switch_boot_set, write_boot_set
from dockerfw.store.confirmed import ConfirmedRecord, read_confirmed
from dockerfw.store.interrupted import RestoreNote
from dockerfw.store.state import LastOrder, StateDirectory
from tests.faults.disk import SmallDisk
from tests.rig.host_states import document

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


def confirmed(revision: int) -> ConfirmedRecord:
    return ConfirmedRecord(str(uuid4()), revision, "nft", "boot", parse_document(document("22")))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path / "disk", size="256k")
    yield small
    small.close()


@pytest.fixture
def state(disk: SmallDisk) -> StateDirectory:
    """A state on the small disk: sequence number 7, revision 1 confirmed."""
    one = StateDirectory(disk.seen / "state")
    one.prepare()
    one.write_last_order(LastOrder(7, ""))
    kept = confirmed(1)
    switch_boot_set(write_boot_set(kept, boot=one.boot), one.boot)
    return one


def restore(state: StateDirectory, then: Callable[[], None]) -> None:
    stored = StoredState(9, confirmed(2), {})
    note = RestoreNote(state.path, backup=utc_now(), aside="aside", settings=False)
    with state_lock(state), state_replace(state, stored, sequence=9, aside="aside", note=note):
        assert state.read_last_order().sequence == 9
        then()


def names(state: StateDirectory) -> list[str]:
    return sorted(str(path) for path in state.path.rglob("*") if "lock" not in path.name)


def test_a_restore_on_a_full_disk_changes_nothing(disk: SmallDisk, state: StateDirectory) -> None:
    before = names(state)
    for name in ("lock", "worker.lock", "watchdog.lock"):
        (state.path / name).touch()
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        restore(state, then=lambda: None)
    assert names(state) == before
    assert state.read_last_order().sequence == 7


def test_a_restore_that_fails_later_on_a_full_disk_is_undone(disk: SmallDisk, state: StateDirectory) -> None:
    def fail() -> None:
        disk.fill()
        raise InterruptedError

    before = names(state)
    with pytest.raises(InterruptedError):
        restore(state, then=fail)
    assert names(state) == before
    assert state.read_last_order().sequence == 7
    kept = read_confirmed(state.boot)
    assert kept is not None
    assert kept.revision == 1
