"""An order through Redis with its real users: the web sends it, the root worker loads, the clerk records."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings

from dockerfw.host.clock import utc_now
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.orders import Answer, Order
from dockerfw.messages.outcomes import Outcome
from dockerfw.worker.entries import AllowedJob, report_ids
from dockerfw.worker.worker import LockedWorker
from rules.link import client
from tests.rig.acl_server import Server, _server, server
from tests.rig.attacks import packed
from tests.rig.namespace import PATIENCE, Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker
from tests.rig.signing import write_signing_key

__all__ = ["_server", "server"]

pytestmark = pytest.mark.redis


def test_the_redis_users_are_allowed_every_command_of_an_order(
    server: Server,
    namespace: Namespace,
    tmp_path: Path,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The web sends, the root worker loads, the clerk takes the outcome, and Redis refuses none of it."""
    worker = _root_worker(server, namespace, tmp_path)
    worker.start()
    try:
        worker.wait_until_serving()
        value = worker.order("22", sequence=1, send=False)
        _send_as_web(server, Order.from_json(value), settings)
        assert worker.outcome(value, states=("confirmed", "failed")).state == "confirmed"
        taken = _serve_as_clerk(server, tmp_path, monkeypatch, until=lambda: worker.journal() == [])
        assert {outcome.apply for outcome in taken} == {value["apply"]}
        assert taken[-1].state == "confirmed"
        assert worker.journal() == []
    finally:
        worker.stop()
    assert worker.process is not None
    denied: Any = server.admin.acl_log()
    # The library only reports its own name with CLIENT SETINFO, and continues without.
    assert [entry for entry in denied if entry["object"] != "client|setinfo"] == []


def test_a_queue_that_names_jobs_of_others_harms_neither_them_nor_its_own(
    server: Server, namespace: Namespace, tmp_path: Path
) -> None:
    """Redis refuses a root worker the jobs of others: it must not stop at an entry that names one."""
    admin, queue = server.admin, "rq:queue:firewall-local"
    foreign = ("firewall-other_order-1", "firewall-local_outcome-1", "local_outcome-1", str(uuid4()))
    for name in foreign:
        admin.hset(f"rq:job:{name}", "data", packed("observe", []))
    worker = _root_worker(server, namespace, tmp_path)
    worker.start()
    try:
        worker.wait_until_serving()
        with server.as_user("web") as web:
            for name in (*foreign, "no id", "firewall-local_order-absent"):
                web.rpush(queue, name)
        assert worker.kept(worker.order("22", sequence=1)).state == "confirmed"
    finally:
        worker.stop()
    assert all(admin.exists(f"rq:job:{name}") for name in foreign)
    assert not admin.exists(queue)
    assert not admin.exists(f"{queue}:intermediate")
    assert "is not the id of a job for this queue" in worker.words()
    denied: Any = admin.acl_log()
    assert [entry for entry in denied if entry["object"] != "client|setinfo"] == []


def _root_worker(server: Server, namespace: Namespace, directory: Path) -> RootWorker:
    standin = RedisServer(directory)
    standin.client = lambda: server.admin  # type: ignore[method-assign]
    standin.url = server.url("root-local")
    return RootWorker(standin, namespace, directory)


def _send_as_web(server: Server, order: Order, settings: LazySettings) -> None:
    settings.REDIS_URL = server.url("web")
    settings.SIGNING_KEY_FILE = write_signing_key(server.socket.parent)
    client.connection.cache_clear()
    try:
        client.ping()
        job_id = str(uuid4())
        client.order_send(order=order, job_id=job_id)
        client.order_place(host="local", job_id=job_id)
        wait_until("the window", lambda: b"awaiting" in (client.progress_read("local", order.apply) or b""))
        client.answer_send(Answer(order.apply, order.sequence, "local", "keep", None, utc_now()))
        client.observe_send("local")
        wait_until("the snapshot", lambda: client.snapshot_read("local"))
        assert client.snapshot_head("local")
        lost = str(uuid4())
        client.order_withdraw(host="other", job_id=lost)
        assert client.order_place(host="other", job_id=lost) == "gone"
    finally:
        client.connection.cache_clear()


def _serve_as_clerk(
    server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch, *, until: Callable[[], bool]
) -> list[Outcome]:
    """Run the clerk's worker here as its own user, until `until` is true, or it never comes."""
    notes = directory / "notes"

    def record(value: dict[str, object]) -> None:
        with notes.open("ab") as file:
            file.write(dump_json(value) + b"\n")

    end = time.monotonic() + PATIENCE

    def stop_when_done() -> None:
        if until() or time.monotonic() > end:
            worker._stop_requested = True

    worker = LockedWorker(
        "clerk",
        connection=server.as_user("clerk"),
        ids=report_ids(),
        allowed={"record_outcome": AllowedJob(record, arguments=(dict,), acknowledged=True)},
        on_idle=stop_when_done,
        idle_seconds=0.2,
    )
    # pytest keeps its own signal handlers.
    monkeypatch.setattr("dockerfw.worker.worker.signal.signal", lambda *_: None)
    worker.work()
    return [Outcome.from_json(load_json(line)) for line in notes.read_bytes().splitlines()]
