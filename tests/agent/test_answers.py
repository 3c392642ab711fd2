"""Windows and answers over the queue: what is reported, what a hostile answer can do, who survives."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dockerfw.host.clock import utc_now
from dockerfw.store.state import StateDirectory
from tests.rig.attacks import job_fields, packed, put
from tests.rig.host_states import let_window_pass
from tests.rig.namespace import PATIENCE, Namespace, end_process, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import QUEUE, RootWorker

pytestmark = [pytest.mark.redis, pytest.mark.kernel]

ENDS = ("confirmed", "rolled_back", "failed")


@pytest.fixture
def root_worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker that serves an empty namespace."""
    namespace.add_interface()
    worker = RootWorker(redis_server, namespace, tmp_path)
    worker.start().wait_until_serving()
    yield worker
    worker.stop()
    (worker.state / "window.json").unlink(missing_ok=True)
    print(worker.words())


def test_window_without_an_answer_is_reported_and_shown(root_worker: RootWorker) -> None:
    before = root_worker.held().count("FILTERS")
    order = root_worker.order("22", sequence=1)
    waiting = root_worker.outcome(order)
    assert waiting.state == "awaiting"
    assert waiting.window is not None
    wait_until("the snapshot", lambda: "dockerfw r1" in snapshot_text(root_worker))
    let_window_pass(StateDirectory(root_worker.state))
    # The page sees it without a request to the worker.
    end = root_worker.outcome(order, states=ENDS)
    assert end.way_back is not None
    assert (end.state, end.way_back.reason) == ("rolled_back", "silence")
    assert root_worker.held().count("FILTERS") == before == 0
    wait_until("the snapshot", lambda: "dockerfw" not in snapshot_text(root_worker))
    wait_until("the last outcome", lambda: end in root_worker.delivered())
    wait_until("the journal to be empty", lambda: root_worker.delivered() or not root_worker.journal())


def snapshot_text(worker: RootWorker) -> str:
    """Return the IPv4 save of the stored snapshot."""
    seen = worker.snapshot()
    return seen.saves[4] if seen else ""


def test_roll_back_now(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=1)
    assert root_worker.outcome(order).state == "awaiting"
    root_worker.answer(order, "rollback")
    end = root_worker.outcome(order, states=ENDS)
    assert end.way_back is not None
    assert end.way_back.reason == "asked"


def test_expired_order_is_refused_with_a_sentence(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=1, issued_at=utc_now(ahead=-121))
    end = root_worker.outcome(order)
    assert end.error is not None
    assert end.error.step == "validate"
    assert "the queue was stuck" in end.error.summary


HOSTILE: dict[str, dict[str, Any]] = {
    "of nothing": {"apply": str(uuid4())},
    "for another host": {"host": "other"},
    "of an unknown kind": {"answer": "obey"},
    "longer than allowed": {"answer": "extend", "seconds": 86400},
    "old": {"issued_at": "2026-01-31T12:00:00Z"},
    "replayed": {"sequence": 4},
    "ahead of the clock": {"sequence": 2**53 - 1},
    "with a surprise": {"surprise": 1},
}


def test_hostile_answers_change_nothing(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=5)
    assert root_worker.outcome(order).state == "awaiting"
    for changes in HOSTILE.values():
        root_worker.answer(order, str(changes.get("answer", "keep")), **changes)
    put(root_worker.redis, QUEUE, "x", job_fields(packed("answer", ["keep"]), QUEUE))
    put(root_worker.redis, QUEUE, "y", job_fields(packed("answer", [order]), QUEUE))
    root_worker.answer(order, "extend", seconds=120)
    wait_until("the one good answer", lambda: seconds_of_window(root_worker, order) == 120)
    let_window_pass(StateDirectory(root_worker.state))
    end = root_worker.outcome(order, states=ENDS)
    assert (end.state, end.error) == ("rolled_back", None)
    assert not (root_worker.state / "boot").exists()
    assert "Traceback" not in root_worker.words()
    assert root_worker.kept(root_worker.order("22", sequence=6)).state == "confirmed"


def seconds_of_window(worker: RootWorker, order: dict[str, Any]) -> int | None:
    """Return how long the window is that was told last."""
    told = worker.progress(order)
    return None if told is None or told.window is None else told.window.seconds


def test_stopped_worker_does_not_stop_the_watchdog(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=1)
    assert root_worker.outcome(order).state == "awaiting"
    process = root_worker.process
    assert process is not None
    # As systemd's KillMode=process does, and then to the whole group as a careless admin might.
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    end_process(process)
    let_window_pass(StateDirectory(root_worker.state))
    wait_until("the roll back", lambda: "FILTERS" not in root_worker.held())
    wait_until("the end", lambda: not (root_worker.state / "window.json").exists())
    (last,) = [found for found in root_worker.journal() if found["state"] in ENDS]
    assert last["way_back"]["reason"] == "silence"
    root_worker.start()
    assert root_worker.outcome(order, states=ENDS).state == "rolled_back"


def test_hanging_redis_does_not_delay_the_roll_back(
    root_worker: RootWorker, redis_server: RedisServer
) -> None:
    order = root_worker.order("22", sequence=1)
    assert root_worker.outcome(order).state == "awaiting"
    redis_server.hang()
    try:
        # Without a watchdog, the worker must roll back without waiting for Redis.
        kill_watchdog(root_worker)
        let_window_pass(StateDirectory(root_worker.state))
        wait_until("the roll back", lambda: "FILTERS" not in root_worker.held())
        wait_until("the last outcome", lambda: root_worker.journal()[-1]["state"] in ENDS)
    finally:
        redis_server.go_on()
    assert root_worker.outcome(order, states=ENDS).state == "rolled_back"
    wait_until("the delivery", lambda: "rolled_back" in {found.state for found in root_worker.delivered()})


def kill_watchdog(worker: RootWorker) -> None:
    """Kill the watchdog of the open window."""
    mark = f"dockerfw.window.watchdog_process\0{worker.state}".encode()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and mark in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def states(worker: RootWorker) -> set[str]:
    """Return the states that the clerk is told now."""
    return {str(found.state) for found in worker.delivered()}
