"""The loaded rules in Redis, on the real kernel: pages always find those that the kernel should hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from dockerfw.agent import jobs as jobs_module
from dockerfw.agent.jobs import RootJobs
from dockerfw.chains.render import render_compiled
from dockerfw.document.document import digest, parse_document
from dockerfw.messages.codec import load_json
from dockerfw.messages.loaded import LoadedRules, loaded_key
from dockerfw.store.confirmed import CONFIRMED, read_confirmed
from dockerfw.store.state import StateDirectory
from dockerfw.window.window import roll_back
from tests.rig.host_states import HOST, add_foreign, document, order, stop_watchdogs
from tests.rig.namespace import Namespace
from tests.rig.new_release import NEW_LINE, install_new_release
from tests.rig.signing import signed, write_signer

pytestmark = [pytest.mark.kernel, pytest.mark.redis]


class Worker:
    """The jobs of a root worker, called one after the other in this process."""

    def __init__(self, state: StateDirectory, redis: Redis) -> None:
        self.state, self.redis = state, redis
        self.jobs = RootJobs(
            host=HOST, state=state, connection=redis, telling=redis, signer=write_signer(state.path)
        )

    def apply(self, port: str, *, sequence: int) -> None:
        """Load a revision that opens a port, and leave its window open."""
        self.jobs.apply(signed(order(document(port), sequence=sequence)))
        stop_watchdogs(self.state)
        assert self.state.read_window() is not None

    def answer(self, kind: str, *, sequence: int) -> None:
        """Answer the open window."""
        window = self.state.read_window()
        assert window is not None
        answer: dict[str, Any] = {"apply": window.apply, "sequence": sequence, "host": HOST, "answer": kind}
        issued_at = order(document()).issued_at
        value = {"format": "dockerfw-answer/1", **answer, "seconds": None, "issued_at": issued_at}
        self.jobs.answer(signed(value))

    def revision(self) -> int | None:
        """Return the revision whose rules the pages find."""
        raw: Any = self.redis.get(loaded_key(HOST))
        if raw is None:
            return None
        loaded = LoadedRules.from_json(load_json(raw))
        assert loaded.host == HOST
        assert all(
            f"dockerfw r{loaded.revision} {loaded.digest[:12]}" in text for text in loaded.texts.values()
        )
        return loaded.revision


@pytest.fixture(autouse=True)
def _fresh_rendering() -> Iterator[None]:
    """Forget what another release rendered."""
    yield
    render_compiled.cache_clear()


@pytest.fixture
def worker(inside: Namespace, state: StateDirectory, redis_client: Redis) -> Worker:
    add_foreign(inside, "nft")
    return Worker(state, redis_client)


def test_pages_find_the_rules_of_the_window_and_then_of_its_end(worker: Worker) -> None:
    worker.jobs.idle()
    assert worker.revision() is None
    worker.apply("22", sequence=1)
    assert worker.revision() == 1
    worker.jobs.idle()
    worker.answer("keep", sequence=2)
    assert worker.revision() == 1
    worker.jobs.idle()
    worker.apply("443", sequence=3)
    assert worker.revision() == 3
    worker.jobs.idle()
    assert worker.revision() == 3
    worker.answer("rollback", sequence=4)
    assert worker.revision() == 1


def test_pages_find_the_confirmed_rules_after_a_watchdog_rolled_back(worker: Worker) -> None:
    worker.apply("22", sequence=1)
    worker.answer("keep", sequence=2)
    worker.jobs.idle()
    worker.apply("443", sequence=3)
    with worker.state.lock():
        window = worker.state.read_window()
        assert window is not None
        roll_back(worker.state, window, "silence")
    worker.jobs.window_closed()
    assert worker.revision() == 1


def stored_texts(worker: Worker) -> dict[Any, str]:
    raw: Any = worker.redis.get(loaded_key(HOST))
    return dict(LoadedRules.from_json(load_json(raw)).texts)


@pytest.mark.parametrize("kept_texts", [True, False])
@pytest.mark.parametrize("end", ["rollback", "silence"])
def test_a_roll_back_of_the_same_revision_brings_the_rules_of_the_record_back(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, kept_texts: bool, end: str
) -> None:
    worker.apply("22", sequence=1)
    worker.answer("keep", sequence=2)
    if not kept_texts:
        forget_texts(worker.state)
        worker = Worker(worker.state, worker.redis)
    worker.jobs.idle()
    kept = stored_texts(worker)
    assert bool(kept) == kept_texts
    install_new_release(monkeypatch)
    again = order(document("22"), sequence=3, revision=1)
    worker.jobs.apply(signed(again))
    stop_watchdogs(worker.state)
    worker.jobs.idle()
    assert NEW_LINE in stored_texts(worker)[4]
    if end == "rollback":
        worker.answer("rollback", sequence=4)
    else:
        with worker.state.lock():
            window = worker.state.read_window()
            assert window is not None
            roll_back(worker.state, window, "silence")
        # Redis may be unavailable just then, so the next idle moment has to make up for it.
        worker.jobs.idle()
    assert stored_texts(worker) == kept


def forget_texts(state: StateDirectory) -> None:
    """Make the confirmed record one of release 0.1.0."""
    path = state.boot / CONFIRMED
    value = json.loads(path.read_text())
    del value["loaded"], value["loaded_digest"]
    path.write_text(json.dumps(value))


def test_the_rules_are_stored_again_after_redis_lost_them(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.apply("22", sequence=1)
    worker.answer("keep", sequence=2)
    worker.redis.flushall()
    worker.jobs.idle()
    assert worker.revision() is None
    monkeypatch.setattr(jobs_module, "boottime", lambda: 10.0**9)
    worker.jobs.idle()
    assert worker.revision() == 1


def test_the_stored_rules_are_those_of_the_confirmed_record(worker: Worker) -> None:
    worker.apply("22", sequence=1)
    worker.answer("keep", sequence=2)
    confirmed = read_confirmed(worker.state.boot)
    assert confirmed is not None
    raw: Any = worker.redis.get(loaded_key(HOST))
    loaded = LoadedRules.from_json(load_json(raw))
    assert loaded.rules() == confirmed.loaded
    assert loaded.digest == digest(parse_document(document("22")))
