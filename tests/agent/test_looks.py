"""Looks and answers on a host with 50,000 rules of others: no look holds up an answer."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue

from dockerfw.agent import jobs as jobs_module
from dockerfw.agent.jobs import RootJobs
from dockerfw.messages.codec import load_json
from dockerfw.messages.snapshots import Snapshot, snapshot_key
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory
from dockerfw.worker.entries import ANY_JOB_ID
from dockerfw.worker.reliable_queue import ReliableQueue
from dockerfw.worker.worker import CHORE
from tests.rig.attacks import job_fields, packed, put
from tests.rig.host_states import HOST, add_foreign
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import QUEUE, RootWorker
from tests.rig.signing import write_signer

pytestmark = [pytest.mark.redis, pytest.mark.kernel]

FOREIGN_RULES = 50_000
VIEWERS = 3


@pytest.fixture
def root_worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker that looks only when it is asked, and after an apply or answer."""
    namespace.add_interface()
    worker = RootWorker(redis_server, namespace, tmp_path)
    worker.start(DOCKERFW_OBSERVE_SECONDS="3600").wait_until_serving()
    yield worker
    worker.stop()
    (worker.state / "window.json").unlink(missing_ok=True)
    print(worker.words())


def ban(namespace: Namespace, count: int) -> None:
    """Load a table with a rule for each of `count` addresses, as a program that bans them one by one."""
    lines = [
        f"-A crowd -s 10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32 -p tcp -m tcp --dport 22"
        f' -m comment --comment "ban {number}" -j DROP'
        for number in range(count)
    ]
    namespace.restore("\n".join(["*mangle", ":crowd - [0:0]", *lines, "COMMIT", ""]), "nft", 4)


class Viewers:
    """Open pages which ask for looks, more often than pages may."""

    def __init__(self, worker: RootWorker) -> None:
        self._worker = worker
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(VIEWERS)]
        self.asked = 0

    def __enter__(self) -> Viewers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        while not self._ended.wait(0.2):
            self.asked += 1
            ask(self._worker, f"look-{number}-{self.asked}")


def ask(worker: RootWorker, name: str) -> None:
    """Ask for a look as a page does."""
    put(worker.redis, QUEUE, name, job_fields(packed("observe", []), QUEUE))


def events(worker: RootWorker) -> list[str]:
    """Return what ran, in order: a job's name when it ended well, and when it gave way."""
    found = re.findall(r"(apply|answer|observe|chore) (?:\(|of )\S+ (done|gave way)", worker.words())
    return [f"{name} {end}" for name, end in found]


def test_keep_does_not_wait_for_the_look_after_the_load(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=1, confirm_seconds=600)
    assert root_worker.outcome(order).state == "awaiting"
    wait_until("the look after the load", lambda: holds_revision(root_worker, 1))
    root_worker.stop()
    ban(root_worker.namespace, FOREIGN_RULES)
    # A root worker that starts in an open window has not read the kernel in it.
    root_worker.start()
    wait_until("its start", lambda: root_worker.words().count("with pid") == 2)
    with Viewers(root_worker) as viewers:
        wait_until("requests", lambda: viewers.asked > 6)
        root_worker.answer(order, "keep")
        end = root_worker.outcome(order, states=("confirmed", "rolled_back", "failed"))
    assert end.state == "confirmed"
    confirmed = read_confirmed(root_worker.state / "boot")
    assert confirmed is not None
    assert confirmed.apply == order["apply"]
    wait_until("the end of the answer", lambda: "answer done" in events(root_worker))
    # The look that ran was ended for the answer, and none of those that waited ran before it.
    assert events(root_worker)[:3] == ["apply done", "chore gave way", "answer done"]


def test_without_the_right_to_look_at_the_queue_a_job_waits_for_the_look(
    redis_client: Redis,
) -> None:
    # A server whose users were made by an earlier release.
    redis_client.execute_command("ACL", "SETUSER", "default", "-lrange")  # type: ignore[no-untyped-call]
    try:
        queue = ReliableQueue(Queue(QUEUE, connection=redis_client), ANY_JOB_ID)
        put(redis_client, QUEUE, "x", job_fields(packed("observe", []), QUEUE))
        assert queue.waiting(10) == []
    finally:
        redis_client.execute_command("ACL", "SETUSER", "default", "+lrange")  # type: ignore[no-untyped-call]
    assert len(queue.waiting(10)) == 1


def test_in_an_open_window_the_kernel_is_read_once_whoever_asks(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=1)
    assert root_worker.outcome(order).state == "awaiting"
    wait_until("the look after the load", lambda: holds_revision(root_worker, 1))
    taken = root_worker.snapshot()
    with Viewers(root_worker) as viewers:
        wait_until("requests", lambda: viewers.asked > 20)
    wait_until("an empty queue", lambda: not root_worker.redis.llen(f"rq:queue:{QUEUE}"))
    assert root_worker.snapshot() == taken
    assert events(root_worker) == ["apply done"]
    root_worker.answer(order, "rollback")
    root_worker.outcome(order, states=("rolled_back",))
    wait_until("the look after the window", lambda: not holds_revision(root_worker, 1))
    ask(root_worker, "after")
    wait_until("a look that was asked for", lambda: "observe done" in events(root_worker))


def test_one_look_serves_all_who_ask_while_another_one_runs(root_worker: RootWorker) -> None:
    ban(root_worker.namespace, FOREIGN_RULES)
    ask(root_worker, "first")
    wait_until("the first look", lambda: "order-first) started" in root_worker.words())
    for number in range(12):
        ask(root_worker, f"more-{number}")
    wait_until("the last look", lambda: "order-more-11) done" in root_worker.words(), seconds=300)
    assert events(root_worker) == ["observe done", "observe done"]


# A root worker whose looks never end, with a short limit for them.
ENDLESS = """
import sys, time
from dockerfw.agent import jobs
from dockerfw.agent.drift_monitor import DriftMonitor
jobs.LOOK_SECONDS = 1.0
DriftMonitor.look = DriftMonitor.look_and_heal = lambda self: time.sleep(3600)
from dockerfw.command_line.main import main
sys.exit(main(["agent"]))
"""


def test_a_look_that_does_not_end_is_ended_and_holds_up_nothing(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path
) -> None:
    namespace.add_interface()
    worker = RootWorker(redis_server, namespace, tmp_path)
    worker.program, worker.module = (sys.executable, "-c", ENDLESS), ()
    worker.start().wait_until_serving()
    try:
        ask(worker, "endless")
        wait_until("unknown instead of a reading", lambda: worker.snapshot() is not None)
        snapshot = worker.snapshot()
        assert snapshot is not None
        assert snapshot.unread == {4, 6}
        assert "was ended after 1 second" in snapshot.errors[0].stderr
        order = worker.order("22", sequence=1)
        assert worker.outcome(order).state == "awaiting"
        worker.answer(order, "rollback")
        worker.outcome(order, states=("rolled_back",))
    finally:
        worker.stop()
        (worker.state / "window.json").unlink(missing_ok=True)
        print(worker.words())


def holds_revision(worker: RootWorker, revision: int) -> bool:
    seen = worker.snapshot()
    return seen is not None and f"dockerfw r{revision}" in seen.saves[4]


@pytest.mark.parametrize("name", ["observe", CHORE])
def test_a_look_that_was_cut_off_leaves_unknown_and_the_reason(
    inside: Namespace, state: StateDirectory, redis_client: Redis, name: str
) -> None:
    add_foreign(inside, "nft")
    jobs = root_jobs(state, redis_client)
    jobs.observe()
    assert stored(redis_client).unread == frozenset()
    jobs.died(name, [])
    snapshot = stored(redis_client)
    assert snapshot.unread == {4, 6}
    assert not snapshot.interfaces_known
    assert {error.stderr for error in snapshot.errors} == {
        "the look at this host failed or was ended after 60 seconds"
    }


def test_a_snapshot_that_is_too_large_leaves_unknown_and_the_reason(
    inside: Namespace, state: StateDirectory, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    jobs = root_jobs(state, redis_client)
    jobs.observe()
    monkeypatch.setattr(jobs_module, "MAX_SNAPSHOT_BYTES", 1000)
    jobs.observe()
    snapshot = stored(redis_client)
    assert snapshot.unread == {4, 6}
    assert "at most 1000 are stored" in snapshot.errors[0].stderr


def root_jobs(state: StateDirectory, redis: Redis) -> RootJobs:
    signer = write_signer(state.path)
    return RootJobs(host=HOST, state=state, connection=redis, telling=redis, signer=signer)


def stored(redis: Redis) -> Snapshot:
    raw: Any = redis.get(snapshot_key(HOST))
    return Snapshot.from_json(load_json(raw))
