"""A restore on a host that is at work: the real root worker and kernel, orders from before and after."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from dockerfw.store.backup import state_check
from dockerfw.store.state import StateDirectory
from rules.backup.archive import read_archive
from tests.backup.installation import ROOT, Installation
from tests.rig.namespace import Namespace
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker

pytestmark = pytest.mark.redis


def serving_host(server: RedisServer, namespace: Namespace, folder: Path) -> tuple[Installation, RootWorker]:
    """Return an installation with a database, and its root worker, which serves."""
    host = Installation(folder)
    assert host.manage("migrate", "--verbosity", "0").returncode == 0
    worker = RootWorker(server, namespace, folder).start()
    worker.wait_until_serving()
    return host, worker


def stop(worker: RootWorker) -> None:
    worker.stop()
    worker.redis.flushall()


def rules(worker: RootWorker) -> list[str]:
    """Return what the kernel holds, without the time of asking."""
    return [line for line in worker.held().splitlines() if not line.startswith("#")]


def test_the_next_apply_works_and_no_order_from_before(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path
) -> None:
    host, worker = serving_host(redis_server, namespace, tmp_path)
    now = time.time_ns() // 1_000_000
    first = worker.order("22", sequence=now, revision=1)
    worker.kept(first)
    host.firewall("backup", str(tmp_path / "backup"))
    second = worker.order("22", "443", sequence=now + 1, revision=2)
    worker.kept(second)
    # A file that was copied and is missing here.
    copied = worker.order("22", "6666", sequence=now + 2, revision=3, send=False)
    assert "The root worker is running" in host.refused("restore", str(tmp_path / "backup"), "--replace")
    stop(worker)

    # The backup is older than what the kernel holds: that stays, and is told.
    held = rules(worker)
    manage = (sys.executable, str(ROOT / "manage.py"), "firewall")
    restore = (*manage, "restore", str(tmp_path / "backup"), "--replace")
    text = namespace.run(*restore, environment=host.environment, timeout=120).stdout.decode()
    assert "The kernel's rules did not change, and differ from the confirmed revision 1" in text
    assert "dockerfw rollback 1 -m REASON" in text
    assert rules(worker) == held
    state = StateDirectory(host.state)
    floor = state.read_last_order().sequence
    assert floor > now + 2
    assert json.loads((state.boot / "confirmed.json").read_text())["revision"] == 1

    worker.start()
    worker.wait_until_serving()
    worker.send(copied)
    refused = worker.outcome(copied)
    assert refused.state == "failed"
    assert "6666" not in worker.held()
    worker.send(second)
    # The database counts on from the same number.
    third = worker.order("22", "8443", sequence=floor + 1, revision=2)
    assert worker.kept(third).state == "confirmed"
    assert "8443" in worker.held()
    worker.stop()


def test_a_window_that_is_open_stays_out_of_a_backup(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path
) -> None:
    host, worker = serving_host(redis_server, namespace, tmp_path)
    order = worker.order("22", sequence=time.time_ns() // 1_000_000, revision=1)
    assert worker.outcome(order).state == "awaiting"
    host.firewall("backup", str(tmp_path / "backup"))
    with open(tmp_path / "backup", "rb") as file:
        archive = read_archive(file, "b")
    assert not [name for name in archive.members if "window" in name or "undo" in name]
    assert state_check(archive.members).confirmed is None
    # Nor is anything replaced under it, also when the root worker is gone and its watchdog is not.
    assert worker.process is not None
    os.kill(worker.process.pid, 9)
    worker.process.wait()
    assert "An apply" in host.refused("restore", str(tmp_path / "backup"), "--replace")
    worker.start()
    worker.wait_until_serving()
    worker.answer(order, "rollback")
    assert worker.outcome(order, states=("rolled_back", "failed")).state == "rolled_back"
    worker.stop()
