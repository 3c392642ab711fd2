"""A restore of the state that is killed at each of its steps.

A boot finds one whole set, the former or the new one, and a state of which only a part was replaced has a
note.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from dockerfw.document.document import parse_document
from dockerfw.host.clock import utc_now
from dockerfw.store.backup import StoredState, state_lock, state_replace
from dockerfw.store.bootfiles import MODES, boot_apply, boot_texts, switch_boot_set, write_boot_set
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.interrupted import RestoreNote, read_restore_record
from dockerfw.store.state import LastOrder, StateDirectory
from tests.rig.host_states import document

DIED = 42
# Python's audit events about files; a power cut may come before each of them.
STEPS = ("open", "os.", "shutil.")


FIRST, SECOND = "before-restore-20260131T120000.000000", "before-restore-20260131T120001.000000"


def restore(state: StateDirectory, confirmed: ConfirmedRecord, aside: str) -> None:
    note = RestoreNote(state.path, backup=utc_now(), aside=aside, settings=False)
    stored = StoredState(9, confirmed, {})
    with state_lock(state), state_replace(state, stored, sequence=9, aside=aside, note=note):
        pass


def run_in_child(call: Callable[[], None], *, steps: int) -> bool:
    """Call in a forked process that dies before the given step; return True if it finished before."""
    pid = os.fork()
    if pid == 0:
        left = steps

        def count(event: str, _: object) -> None:
            nonlocal left
            if event.startswith(STEPS):
                left -= 1
                if left < 0:
                    os._exit(DIED)

        sys.addaudithook(count)
        try:
            call()
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, DIED)
    return status == 0


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: hundreds of restores that each wait for a disk would take minutes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def boot_files(state: StateDirectory) -> dict[str, str]:
    """Return the boot files by name."""
    return {name: (state.boot / name).read_text() for name in MODES if (state.boot / name).exists()}


@pytest.mark.parametrize("same_apply", [True, False])
def test_a_restore_that_is_killed_anywhere_leaves_one_whole_boot_set(
    memory: Path, *, same_apply: bool
) -> None:
    one = ConfirmedRecord(str(uuid4()), 1, "nft", "boot", parse_document(document("22")))
    # The same apply, if a later release or an admin has written the files differently.
    other = replace(one, document=parse_document(document("443")))
    if not same_apply:
        other = replace(other, apply=str(uuid4()), revision=2)
    state = StateDirectory(memory / "state")
    noted = 0
    steps, ended, seen = 0, False, set()
    former, new = (7, boot_texts(one, boot=state.boot)), (9, boot_texts(other, boot=state.boot))
    while not ended:
        shutil.rmtree(state.path, ignore_errors=True)
        state.prepare()
        state.write_last_order(LastOrder(7, ""))
        switch_boot_set(write_boot_set(one, boot=state.boot), state.boot)
        ended = run_in_child(lambda: restore(state, other, FIRST), steps=steps)
        found = boot_files(state)
        assert found in (former[1], new[1]), steps
        assert state.read_last_order().sequence in (7, 9)
        left = read_restore_record(state.path)
        if left is None:
            assert (state.read_last_order().sequence, found) in (former, new), steps
        else:
            assert left.aside == FIRST
            former_state = StateDirectory(state.path / FIRST)
            assert (former_state.read_last_order().sequence, boot_files(former_state)) == former, steps
            noted += 1
        seen.add((boot_apply(state.boot), found["rules.v4"]))
        # Whatever is left behind, the next restore finishes.
        restore(state, other, SECOND)
        assert (state.read_last_order().sequence, boot_files(state)) == new
        assert read_restore_record(state.path) is None
        assert (state.path / FIRST).exists() or left is None
        assert boot_apply(state.boot) == other.apply
        assert len(list((state.path / "boot-sets").iterdir())) == 1
        steps += 1
    assert steps > 50
    assert noted > 20
    assert len(seen) == 2
