"""An attacker who can write to Redis: nothing of theirs runs, and the next valid order does."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from dockerfw.messages.codec import MAX_MESSAGE_BYTES
from dockerfw.worker.entries import EntryError, LockedJob, read_call
from tests.rig.attacks import ATTACKS, job_fields, named, packed, put
from tests.rig.namespace import PATIENCE, Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import QUEUE, RootWorker

pytestmark = [pytest.mark.redis, pytest.mark.kernel]


@pytest.fixture
def root_worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker that serves an empty namespace."""
    namespace.add_interface()
    worker = RootWorker(redis_server, namespace, tmp_path)
    worker.start().wait_until_serving()
    yield worker
    worker.stop()
    print(worker.words())


def resident_kib(process: subprocess.Popen[bytes]) -> int:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_does_nothing(root_worker: RootWorker, tmp_path: Path, name: str) -> None:
    proof = tmp_path / "proof"
    ATTACKS[name](root_worker.redis, QUEUE, proof)
    if name == "the queue is no list":
        wait_until("the queue to be a list again", lambda: not root_worker.redis.exists(f"rq:queue:{QUEUE}"))
    good = root_worker.order("22", sequence=1)
    assert root_worker.kept(good).state == "confirmed"
    assert "--dport 22" in root_worker.held()
    assert not proof.exists()
    process = root_worker.process
    assert process is not None
    assert process.poll() is None
    assert resident_kib(process) < 150_000
    assert "Traceback" not in root_worker.words()
    assert root_worker.redis.llen(f"rq:queue:{QUEUE}") == 0
    taken = f"rq:queue:{QUEUE}:intermediate"
    wait_until("every taken entry to be forgotten", lambda: not root_worker.redis.exists(taken))


def test_all_attacks_at_once_leave_no_job_behind(root_worker: RootWorker, tmp_path: Path) -> None:
    for attack in ATTACKS.values():
        attack(root_worker.redis, QUEUE, tmp_path / "proof")
    wait_until("the queue to be empty", lambda: not root_worker.redis.exists(f"rq:queue:{QUEUE}"))
    assert root_worker.kept(root_worker.order("22", sequence=1)).state == "confirmed"
    assert not (tmp_path / "proof").exists()


def test_replayed_order_is_refused(root_worker: RootWorker) -> None:
    first = root_worker.order("22", sequence=5)
    assert root_worker.kept(first).state == "confirmed"
    second = root_worker.order("443", sequence=6)
    assert root_worker.kept(second).state == "confirmed"
    events = {outcome.event for outcome in root_worker.delivered() if outcome.apply == first["apply"]}
    # The same order again, word for word; then the older one; then the older one with a fresh id.
    root_worker.send(second)
    root_worker.send(first)
    again = root_worker.order("22", sequence=5)
    refused = root_worker.outcome(again)
    assert refused.error is not None
    assert "not above 6" in refused.error.summary
    held = root_worker.held()
    assert "--dport 443" in held
    assert "--dport 22" not in held
    # A replay adds no new event to the apply.
    later = {outcome.event for outcome in root_worker.delivered() if outcome.apply == first["apply"]}
    assert later <= events


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "wrong host": ({"host": "other"}, "for the host 'other'"),
    "wrong digest": ({"digest": "0" * 64}, "digest"),
    "a document that is none": ({"document": {"format": "dockerfw/1", "rules": [{"x": 1}]}}, "x"),
    "restore text for a comment": (
        {"document": {"format": "dockerfw/1", "rules": [{"scope": "host", "comment": "a\n-F INPUT"}]}},
        "comment",
    ),
    "restore text for an interface": (
        {
            "document": {
                "format": "dockerfw/1",
                "settings": {"trusted_interfaces": ["lo -j ACCEPT\n-F"]},
                "rules": [],
            }
        },
        "trusted_interfaces",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_order_that_is_wrong_is_refused_and_answered(root_worker: RootWorker, name: str) -> None:
    changes, words = WRONG[name]
    wrong = root_worker.order("22", sequence=3, **changes)
    refused = root_worker.outcome(wrong)
    assert refused.state == "failed"
    assert refused.error is not None
    assert words in refused.error.summary
    assert "FILTERS" not in root_worker.held()
    assert root_worker.kept(root_worker.order("22", sequence=3)).state == "confirmed"


def test_order_that_cannot_be_read_is_answered_where_it_can(root_worker: RootWorker) -> None:
    wrong = root_worker.order("22", sequence=3, confirm_seconds=5)
    wait_until("the answer", lambda: root_worker.redis.exists("rq:queue:clerk"))
    (answer,) = root_worker.delivered()
    assert answer.apply == wrong["apply"]
    assert answer.error is not None
    assert "confirm_seconds" in answer.error.summary


def test_killed_job_is_cleaned_up(root_worker: RootWorker) -> None:
    assert root_worker.kept(root_worker.order("22", sequence=1)).state == "confirmed"
    before = root_worker.held()
    root_worker.stop()
    script = root_worker.state.parent / "bin"
    script.mkdir()
    slow = script / "ip6tables-nft-restore"
    slow.write_text(
        '#!/bin/sh\ncase "$XTABLES_LOCKFILE" in *rehearsal*) ;; *) kill -9 "$PPID"; sleep 5;; esac\n'
        'exec /usr/sbin/ip6tables-nft-restore "$@"\n'
    )
    slow.chmod(0o755)
    path = f"{script}:/usr/sbin:/usr/bin:/sbin:/bin"
    root_worker.start(PATH=path)
    dead = root_worker.order("443", sequence=2)
    # Rolling back IPv4 needs no ip6tables: its tables were not touched.
    outcome = root_worker.outcome(dead)
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.summary.endswith("The previous rules are restored.")
    assert strip(root_worker.held()) == strip(before)


def strip(text: str) -> list[str]:
    """Return the lines of a save that do not carry the time."""
    return [line for line in text.split("\n") if not line.startswith("#")]


def test_root_worker_that_is_killed_in_an_apply_undoes_it_when_it_starts(root_worker: RootWorker) -> None:
    assert root_worker.kept(root_worker.order("22", sequence=1)).state == "confirmed"
    before = root_worker.held()
    root_worker.stop()
    script = root_worker.state.parent / "bin"
    script.mkdir()
    reached = root_worker.state.parent / "reached"
    hang = script / "ip6tables-nft-restore"
    hang.write_text(
        f'#!/bin/sh\ncase "$XTABLES_LOCKFILE" in *rehearsal*) ;; *) touch {reached}; exec sleep 30;; esac\n'
        f'exec /usr/sbin/ip6tables-nft-restore "$@"\n'
    )
    hang.chmod(0o755)
    root_worker.start(PATH=f"{script}:/usr/sbin:/usr/bin:/sbin:/bin")
    dead = root_worker.order("443", sequence=2)
    wait_until("IPv4 to be loaded", reached.exists)
    assert "--dport 443" in root_worker.held()
    kill_all(root_worker)
    root_worker.start()
    outcome = root_worker.outcome(dead)
    assert outcome.error is not None
    assert "died or timed out" in outcome.error.summary
    assert strip(root_worker.held()) == strip(before)
    assert root_worker.kept(root_worker.order("8443", sequence=3)).state == "confirmed"


def kill_all(worker: RootWorker) -> None:
    """Kill a root worker and the processes that it started, as a power cut would."""
    assert worker.process is not None
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
    pids = [worker.process.pid]
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if children.exists():
            pids += [int(child) for child in children.read_text().split()]
    for pid in pids:
        subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)
    worker.process.wait(PATIENCE)


def test_outcomes_outlive_redis(root_worker: RootWorker, redis_server: RedisServer) -> None:
    first = root_worker.order("22", sequence=1)
    root_worker.kept(first)
    redis_server.stop()
    wait_until("the worker to notice", lambda: "retrying" in root_worker.words())
    redis_server.start()
    # The new Redis has forgotten everything; the journal has not.
    # (What came before it may come alone.)
    wait_until(
        "the outcome to be sent again",
        lambda: "confirmed" in {outcome.state for outcome in root_worker.delivered()},
    )
    wait_until("the journal to be empty", lambda: not root_worker.journal())


def test_only_one_root_worker_serves_a_state_directory(root_worker: RootWorker) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "dockerfw", "agent"],
        env={**root_worker.namespace.environment, **root_worker.environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert second.returncode == 1
    assert "another root worker already runs" in second.stderr


def test_observe_stores_a_snapshot(root_worker: RootWorker) -> None:
    root_worker.namespace.run("ip", "route", "add", "default", "dev", "ens33")
    put(root_worker.redis, QUEUE, "look", job_fields(packed("observe", []), QUEUE))

    def routed() -> bool:
        # The root worker looks by itself too, maybe before there was a route.
        found = root_worker.snapshot()
        return found is not None and found.default_routes[4] == ("ens33",)

    wait_until("the snapshot", routed)
    snapshot = root_worker.snapshot()
    assert snapshot is not None
    assert "ens33" in {interface.name for interface in snapshot.interfaces if interface.up}


def test_root_worker_imports_no_django_and_unpickles_nothing(tmp_path: Path) -> None:
    script = """
import sys
import dockerfw.agent.root as root
unwanted = ("django", "django_rq", "psycopg", "sqlite3")
assert not [name for name in sys.modules if name.split(".")[0] in unwanted]
root.refuse_unpickling()
import os, pickle
class Exploding:
    def __reduce__(self):
        return os.system, ("true",)
for load in (pickle.loads, __import__("rq.serializers").serializers.DefaultSerializer.loads):
    try:
        load(pickle.dumps(Exploding()))
    except RuntimeError as error:
        assert "unpickling is refused" in str(error)
    else:
        raise SystemExit("unpickled")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr


def test_rq_itself_runs_no_job(redis_client: Redis, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    ATTACKS["pickled meta and result"](redis_client, QUEUE, proof)
    ATTACKS["callbacks"](redis_client, QUEUE, proof)
    job = LockedJob.fetch(named(QUEUE, "callback-good"), connection=redis_client)
    assert (job.func_name, list(job.args), job.meta, job.webhooks) == ("observe", [], {}, [])
    assert [job.success_callback, job.failure_callback, job.stopped_callback] == [None, None, None]
    assert (job.retries_left, job.repeats_left, job.should_retry) == (None, None, False)
    with pytest.raises(EntryError):
        job.perform()
    with pytest.raises(EntryError):
        getattr(job, "func")  # noqa: B009 - reading it is the attack
    assert not proof.exists()


def test_bomb_is_refused_without_unpacking_it() -> None:
    bomb = packed("apply", ["x" * (20 * MAX_MESSAGE_BYTES)])
    tracemalloc.start()
    with pytest.raises(EntryError, match="grows beyond"):
        read_call(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MAX_MESSAGE_BYTES
