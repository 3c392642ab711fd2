"""The locked worker alone on a real Redis: it runs allowed jobs, survives failures, stops on a signal."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from dockerfw.worker.entries import ANY_JOB_ID, AllowedJob, done_key, job_key
from dockerfw.worker.worker import LockedWorker
from tests.rig.attacks import job_fields, packed, put
from tests.rig.namespace import PATIENCE, end_process, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.serve_notes import QUEUE

pytestmark = pytest.mark.redis


class Notes:
    """A running `serve_notes` worker and the file that its jobs write to."""

    def __init__(self, server: RedisServer, directory: Path) -> None:
        self._server = server
        self.file = directory / "notes"
        self.log = directory / "log"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.rig.serve_notes", str(self._server.socket), str(self.file)],
                stderr=log,
                start_new_session=True,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "none.at.all"},
            )

    def lines(self) -> list[str]:
        """Return what the jobs wrote."""
        return self.file.read_text().splitlines() if self.file.exists() else []

    def wait_for(self, line: str) -> None:
        """Wait until a job wrote this line."""
        wait_until(f"the note {line!r}", lambda: line in self.lines())


@pytest.fixture
def notes(redis_server: RedisServer, tmp_path: Path) -> Iterator[Notes]:
    """A worker that serves the queue `notes`."""
    running = Notes(redis_server, tmp_path)
    yield running
    end_process(running.process)
    print(running.log.read_text())


def send(redis: Redis, text: str, job_id: str = "") -> None:
    """Send the job that writes one note."""
    put(redis, QUEUE, job_id or f"n-{text}", job_fields(packed("note", [{"text": text}]), QUEUE))


def test_an_allowed_job_runs_and_leaves_only_its_acknowledgement(notes: Notes, redis_client: Redis) -> None:
    send(redis_client, "one", "job-1")
    notes.wait_for("one")
    wait_until("the acknowledgement", lambda: redis_client.exists(done_key("job-1")))
    assert not redis_client.exists(job_key("job-1"))
    keys = {str(key, "utf-8") for key in redis_client.keys("*") if isinstance(key, bytes)}
    assert keys <= {
        "rq:queues",
        "rq:workers",
        f"rq:workers:{QUEUE}",
        f"rq:worker:{QUEUE}",
        "dockerfw:done:job-1",
    }


def test_jobs_of_rqs_own_client_run(notes: Notes, redis_client: Redis) -> None:
    from rq import Queue
    from rq.serializers import JSONSerializer

    queue = Queue(QUEUE, connection=redis_client, serializer=JSONSerializer)
    queue.enqueue_call("note", args=[{"text": "from rq"}], timeout=5)
    notes.wait_for("from rq")


def test_a_job_that_raises_is_not_acknowledged(notes: Notes, redis_client: Redis) -> None:
    put(redis_client, QUEUE, "failing", job_fields(packed("fail", []), QUEUE))
    send(redis_client, "after")
    notes.wait_for("after")
    assert not redis_client.exists(done_key("failing"))
    assert "as asked" in notes.log.read_text()


def test_the_time_limit_is_the_workers_and_not_the_entrys(notes: Notes, redis_client: Redis) -> None:
    put(redis_client, QUEUE, "slow", {**job_fields(packed("hang", []), QUEUE), "timeout": 86400})
    send(redis_client, "after")
    notes.wait_for("hanging")
    notes.wait_for("after")
    assert "crashed hang []" in notes.lines()


def test_a_job_that_dies_is_reported_and_the_worker_goes_on(notes: Notes, redis_client: Redis) -> None:
    put(redis_client, QUEUE, "dying", job_fields(packed("die", []), QUEUE))
    notes.wait_for("crashed die []")
    send(redis_client, "after")
    notes.wait_for("after")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly(notes: Notes, redis_client: Redis, number: signal.Signals) -> None:
    send(redis_client, "one")
    notes.wait_for("one")
    notes.process.send_signal(number)
    assert notes.process.wait(PATIENCE) == 0
    assert not redis_client.exists(f"rq:worker:{QUEUE}")
    assert not redis_client.smembers("rq:workers")


def test_a_stop_signal_waits_for_the_running_job(notes: Notes, redis_client: Redis) -> None:
    put(redis_client, QUEUE, "slow", job_fields(packed("hang", []), QUEUE))
    notes.wait_for("hanging")
    os.killpg(notes.process.pid, signal.SIGTERM)
    assert notes.process.wait(PATIENCE) == 0
    assert "crashed hang []" in notes.lines()


def test_the_next_worker_does_the_entry_of_a_killed_one(notes: Notes, redis_client: Redis) -> None:
    put(redis_client, QUEUE, "slow", job_fields(packed("stay", []), QUEUE))
    notes.wait_for("hanging")
    children = Path(f"/proc/{notes.process.pid}/task/{notes.process.pid}/children").read_text().split()
    notes.process.kill()
    notes.process.wait(PATIENCE)
    wait_until("the job to die with it", lambda: not any(Path("/proc", pid).exists() for pid in children))
    notes.process = notes.start()
    wait_until("the second try", lambda: notes.lines().count("hanging") == 2)


def test_the_worker_survives_that_redis_stops_and_starts(notes: Notes, redis_server: RedisServer) -> None:
    send(redis_server.client(), "before")
    notes.wait_for("before")
    redis_server.stop()
    wait_until("the worker's warning", lambda: "retrying" in notes.log.read_text())
    redis_server.start()
    send(redis_server.client(), "after")
    notes.wait_for("after")
    assert notes.process.poll() is None


def test_the_worker_can_start_before_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.stop()
    notes = Notes(redis_server, tmp_path)
    try:
        wait_until("the worker's warning", lambda: "retrying" in notes.log.read_text())
        redis_server.start()
        send(redis_server.client(), "late")
        notes.wait_for("late")
    finally:
        end_process(notes.process)


def test_a_chore_that_cannot_be_forked_does_not_end_the_worker(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_process() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    worker = LockedWorker(
        QUEUE,
        connection=redis_client,
        ids=ANY_JOB_ID,
        allowed={},
        chore=AllowedJob(lambda: None),
        chore_seconds=0.0,
    )
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", no_process)
        worker._idle()
    assert "could not start: [Errno 11]" in caplog.text
    caplog.clear()
    worker._idle()
    assert caplog.text == ""


def test_the_alive_file_is_touched_only_while_redis_answers(notes: Notes, redis_server: RedisServer) -> None:
    alive = notes.file.with_name("alive")

    for _ in range(2):
        wait_until("a sign of life", alive.exists)
        alive.unlink()
    wait_until("a sign of life", alive.exists)
    redis_server.stop()
    wait_until("the worker's warning", lambda: "retrying" in notes.log.read_text())
    alive.unlink()
    tries = notes.log.read_text().count("retrying")
    wait_until("two more tries", lambda: notes.log.read_text().count("retrying") >= tries + 2)
    assert not alive.exists()
    redis_server.start()
    wait_until("a sign of life", alive.exists)


def test_the_alive_file_is_touched_while_a_job_runs(notes: Notes, redis_client: Redis) -> None:
    alive = notes.file.with_name("alive")
    put(redis_client, QUEUE, "hanging", job_fields(packed("stay", []), QUEUE))
    notes.wait_for("hanging")
    alive.unlink(missing_ok=True)
    wait_until("a sign of life", alive.exists)
