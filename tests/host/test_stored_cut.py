"""A restore of the state that dies at any of its steps: a boot finds one whole set, the former or the new."""

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

from rules.host.bootfiles import MODES, boot_apply, boot_texts, switch_boot_set, write_boot_set
from rules.host.confirmed import Confirmed
from rules.host.state import Begun, StateDirectory
from rules.host.stored import StoredState, state_alone, state_put
from rules.netfilter.document import parse_document
from tests.host.hosts import document

DIED = 42
# What Python is about to do to files; a power cut may come before each.
STEPS = ("open", "os.", "shutil.")


def restore(state: StateDirectory, confirmed: Confirmed) -> None:
    with state_alone(state), state_put(state, StoredState(9, confirmed, {}), sequence=9, aside="aside"):
        pass


def in_a_child(call: Callable[[], None], *, steps: int) -> bool:
    """Call in a forked process that dies before the given step; say whether it came to its end before."""
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
    """A folder on no disk: hundreds of restores, each of which waits for the disk, would take minutes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def boots(state: StateDirectory) -> dict[str, str]:
    """Return what a boot finds, by name."""
    return {name: (state.boot / name).read_text() for name in MODES if (state.boot / name).exists()}


@pytest.mark.parametrize("same_apply", [True, False])
def test_a_restore_that_is_cut_off_anywhere_leaves_one_whole_boot_set(
    memory: Path, *, same_apply: bool
) -> None:
    one = Confirmed(str(uuid4()), 1, "nft", "boot", parse_document(document("22")))
    # Of the same apply where a later release, or somebody, has written the files otherwise.
    other = replace(one, document=parse_document(document("443")))
    if not same_apply:
        other = replace(other, apply=str(uuid4()), revision=2)
    state = StateDirectory(memory / "state")
    steps, ended, seen = 0, False, set()
    while not ended:
        shutil.rmtree(state.path, ignore_errors=True)
        state.prepare()
        state.write_begun(Begun(7, ""))
        switch_boot_set(write_boot_set(one, boot=state.boot), state.boot)
        ended = in_a_child(lambda: restore(state, other), steps=steps)
        found = boots(state)
        assert found in (boot_texts(one, boot=state.boot), boot_texts(other, boot=state.boot)), steps
        assert state.last_begun().sequence in (7, 9)
        seen.add((boot_apply(state.boot), found["rules.v4"]))
        # Whatever was left behind, the next one comes to its end.
        restore(state, other)
        assert boots(state) == boot_texts(other, boot=state.boot)
        assert boot_apply(state.boot) == other.apply
        assert len(list((state.path / "boot-sets").iterdir())) == 1
        steps += 1
    assert steps > 50
    assert len(seen) == 2
