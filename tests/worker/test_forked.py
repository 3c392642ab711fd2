"""Calls in a forked process: the end of one that gives way, and the parts that are not interrupted."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dockerfw.worker.forked import GAVE_WAY, run_forked, uninterrupted
from tests.rig.namespace import wait_until


def run(call: Callable[[], None], *, begun: Path, yields: bool = True, seconds: float = 30) -> int:
    """Call it, and end it as soon as the file is there."""
    return run_forked(
        call,
        seconds=seconds,
        pause=0.02,
        meanwhile=lambda: None if begun.exists() else 0.02,
        yields=yields,
    )


def test_a_call_that_yields_is_ended_with_its_children(tmp_path: Path) -> None:
    begun, child = tmp_path / "begun", tmp_path / "child"

    def call() -> None:
        import subprocess

        process = subprocess.Popen(["sleep", "60"])
        child.write_text(str(process.pid))
        begun.touch()
        process.wait()

    assert run(call, begun=begun) == GAVE_WAY
    wait_until("the end of its child", lambda: not is_running(int(child.read_text())))


def test_an_uninterrupted_part_is_finished_first(tmp_path: Path) -> None:
    begun, done, after = (tmp_path / name for name in ("begun", "done", "after"))

    def call() -> None:
        with uninterrupted():
            begun.touch()
            time.sleep(0.5)
            done.touch()
        after.touch()

    assert run(call, begun=begun) == GAVE_WAY
    assert (done.exists(), after.exists()) == (True, False)


def test_the_time_limit_ends_an_uninterrupted_part_too(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def call() -> None:
        with uninterrupted():
            begun.touch()
            time.sleep(60)

    assert run(call, begun=begun, seconds=1.0) == -signal.SIGKILL


def test_a_call_that_does_not_yield_ignores_the_signal(tmp_path: Path) -> None:
    begun, done = tmp_path / "begun", tmp_path / "done"

    def call() -> None:
        begun.touch()
        time.sleep(0.5)
        done.touch()

    assert run(call, begun=begun, yields=False) == 0
    assert done.exists()


@pytest.mark.parametrize("raises", [True, False])
def test_the_status_of_a_call_that_ends_by_itself(raises: bool, tmp_path: Path) -> None:
    def call() -> None:
        if raises:
            raise ValueError

    assert run(call, begun=tmp_path / "never") == int(raises)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_call_that_makes_many_values_is_seldom_searched_for_unused_ones(tmp_path: Path) -> None:
    def collections() -> int:
        return int(gc.get_stats()[0]["collections"])

    def call() -> None:
        before = collections()
        kept = [[number] for number in range(50_000)]
        few = collections() - before
        for _ in range(2 * len(kept)):
            loop: list[object] = []
            loop.append(loop)
        (tmp_path / "counts").write_text(f"{few} {collections() - before}")

    before = gc.get_threshold()
    assert run(call, begun=tmp_path / "never") == 0
    few, more = map(int, (tmp_path / "counts").read_text().split())
    assert (few, more > 0, gc.get_threshold()) == (0, True, before)
