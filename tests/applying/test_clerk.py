"""The clerk as it runs: a process of its own on a real Redis, writing outcomes into a real database file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.version import VERSION
from dockerfw_site.environment import BASE_DIR
from rules.applying import clerk_jobs
from rules.applying import outcome_services as outcomes
from rules.audit.actors import Actor
from rules.models import Apply, AuditEvent, Host
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of
from tests.rig.namespace import PATIENCE, CommandError, wait_until
from tests.rig.redis_fixtures import RedisServer

APPLY = uuid.UUID("11111111-2222-4333-8444-555555555555")


class Clerk:
    """A clerk with its own database, which holds one queued apply."""

    def __init__(self, directory: Path, redis: RedisServer) -> None:
        """Make the database; `start` runs the clerk."""
        self.redis = redis
        self.database = directory / "dockerfw.sqlite3"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DOCKERFW_")}
        clean.pop("DATABASE_URL", None)
        self.environ = {**clean, "DOCKERFW_DATA_DIR": str(directory), "DOCKERFW_REDIS_URL": redis.url}
        self.run("migrate", "--skip-checks", "-v0")
        code = f"""
from rules.models import *
host = Host.objects.create(name="local")
revision = Revision.objects.create(host=host, number=1, document='{{"format":"dockerfw/1","rules":[]}}',
                                   digest="0" * 64, author_name="alice", message="m")
Apply.objects.create(id="{APPLY}", host=host, revision=revision, sequence=1, job_id="x", requested_by="alice")
"""
        self.run("shell", "-v0", "-c", code)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = directory / "log"

    def run(self, *arguments: str) -> None:
        """Run a management command to its end."""
        subprocess.run([sys.executable, "manage.py", *arguments], cwd=BASE_DIR, env=self.environ, check=True)

    def start(self) -> None:
        """Start the clerk."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "clerk"],
                cwd=BASE_DIR,
                env=self.environ,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> int:
        """End the clerk as a service manager would; return its status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def send(self, value: Any, host: str = "local") -> None:
        """Hand something to the clerk's queue as the root worker of `host` would."""
        queue = Queue("clerk", connection=self.redis.client(), serializer=JSONSerializer)
        queue.enqueue_call("record_outcome", args=[value], job_id=f"firewall-{host}_outcome-{uuid.uuid4()}")

    def state(self) -> str:
        """Read the apply's state from the database file."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            return str(connection.execute("SELECT state FROM rules_apply").fetchone()[0])

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that `what` says of if it does not come."""
        try:
            wait_until(what, condition)
        except CommandError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None


@pytest.fixture
def running(tmp_path: Path, redis_server: RedisServer) -> Iterator[Clerk]:
    found = Clerk(tmp_path, redis_server)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.process.kill()
        found.process.wait(PATIENCE)


def outcome(state: str, event: int) -> dict[str, object]:
    host = Host(name="local")
    return outcome_of(Apply(id=APPLY, host=host), state, event).to_json()


def test_the_clerk_serves_through_junk_and_a_redis_that_restarts(running: Clerk) -> None:
    running.start()
    running.send({"format": "nonsense"})
    running.send("no object at all")
    Queue("clerk", connection=running.redis.client(), serializer=JSONSerializer).enqueue_call(
        "os.system", ["id"], job_id="firewall-local_outcome-junk"
    )
    running.send(outcome("loading", 0))
    running.wait(lambda: running.state() == "loading", "loading was not written")
    running.redis.stop()
    time.sleep(0.3)
    running.redis.start()
    running.send(outcome("loading", 0))
    running.send(outcome("confirmed", 9))
    running.wait(lambda: running.state() == "confirmed", "confirmed was not written")
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


def test_a_root_worker_speaks_of_its_own_host_only(running: Clerk) -> None:
    running.start()
    running.send(outcome("confirmed", 9), host="other")
    running.send(outcome("loading", 0))
    running.wait(lambda: running.state() == "loading", "loading was not written")
    assert running.stop() == 0
    assert "is not one of the root worker of" in running.log.read_text()


def test_an_outcome_waits_for_a_database_that_is_locked(running: Clerk) -> None:
    running.start()
    with sqlite3.connect(running.database, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        running.send(outcome("confirmed", 3))
        time.sleep(1.0)
        assert running.state() == "queued"
        connection.execute("ROLLBACK")
    running.wait(lambda: running.state() == "confirmed", "confirmed was not written")
    assert running.stop() == 0


def test_a_database_that_stays_away_fails_the_job_so_that_it_is_sent_again(
    host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm(host, alice)
    apply = Apply.objects.get()
    calls: list[object] = []

    def fail(**kwargs: object) -> bool:
        calls.append(kwargs)
        raise DatabaseError("the server is gone")

    monkeypatch.setattr(clerk_jobs, "outcome_record", fail)
    monkeypatch.setattr(clerk_jobs, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("rules.applying.clerk_jobs.connections.close_all", lambda: None)
    with pytest.raises(DatabaseError):
        clerk_jobs.record_outcome("firewall-local_outcome-1", outcome_of(apply, "confirmed", 0).to_json())
    assert len(calls) == clerk_jobs.TRIES


@pytest.mark.parametrize(
    "change",
    [
        {"state": "perfect"},
        {"event": -1},
        {"apply": "1"},
        {"host": "../etc"},
        {"steps": [{"name": "rm"}]},
        {"extra": 1},
        {"at": "yesterday"},
    ],
)
def test_a_bad_outcome_is_dropped(
    host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    confirm(host, alice)
    apply = Apply.objects.get()
    before = AuditEvent.objects.count()
    monkeypatch.setattr("rules.applying.clerk_jobs.connections.close_all", lambda: None)
    clerk_jobs.record_outcome(
        "firewall-local_outcome-1", {**outcome_of(apply, "failed", 7).to_json(), **change}
    )
    assert AuditEvent.objects.count() == before
    assert Apply.objects.get().state == "confirmed"
    assert outcomes.RANK["failed"] == 3


def test_the_clerk_tells_its_version(running: Clerk) -> None:
    def told() -> list[tuple[str, str]]:
        with sqlite3.connect(f"file:{running.database}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT name, version FROM rules_processnote").fetchall()

    assert told() == []
    running.start()
    running.wait(lambda: told() == [("clerk", VERSION)], "the clerk's note")
    assert running.stop() == 0
