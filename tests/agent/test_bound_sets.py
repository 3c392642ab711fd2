"""The bound sets of a real root worker: filled, followed, and cleaned up whatever is killed in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerfw.document.document import digest, parse_document
from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import load_json
from dockerfw.messages.events import ConsoleEvent
from tests.rig.bound_sets import PROXIES, PROXY, any_address, members_in, published, sets_in
from tests.rig.docker_proxy import docker_proxy
from tests.rig.host_states import document as plain_document
from tests.rig.namespace import PATIENCE, Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker

pytestmark = [pytest.mark.kernel, pytest.mark.redis]


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    folder = tmp_path / "hooks"
    folder.mkdir()
    return folder


@pytest.fixture
def worker(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path, hooks: Path
) -> Iterator[RootWorker]:
    """A root worker that looks often."""
    namespace.add_interface()
    one = RootWorker(redis_server, namespace, tmp_path)
    one.environment |= {"DOCKERFW_OBSERVE_SECONDS": "5", "DOCKERFW_HOOK_DIR": str(hooks)}
    one.start().wait_until_serving()
    yield one
    one.stop()
    print(one.words())


def order(worker: RootWorker, document: dict[str, Any], sequence: int) -> dict[str, Any]:
    found = digest(parse_document(document))
    return worker.order(sequence=sequence, document=document, digest=found)


def about(worker: RootWorker) -> About:
    raw: Any = worker.redis.get(about_key(HOST))
    return About.from_json(load_json(raw))


def test_the_sets_follow_the_host_while_a_window_is_open_and_after(worker: RootWorker) -> None:
    host = worker.namespace
    value = order(worker, published("8080"), 1)
    assert worker.outcome(value).state == "awaiting"
    with docker_proxy(host, 8080):
        host.add_interface("veth0123456", ())
        wait_until("the port in the set", lambda: members_in(host, PROXY) == any_address(8080))
        assert worker.kept(value).state == "confirmed"
        wait_until("the members in the snapshot", lambda: _reported(worker) == any_address(8080))
        assert about(worker).sets_problem == ""
    host.run("ip", "link", "delete", "veth0123456")
    wait_until("the port out of the set", lambda: members_in(host, PROXY) == ())
    plain = order(worker, plain_document("22"), 2)
    assert worker.kept(plain).state == "confirmed"
    wait_until("no set", lambda: not sets_in(host))


def test_a_flushed_set_is_filled_again_and_the_audit_is_told(worker: RootWorker) -> None:
    host = worker.namespace
    with docker_proxy(host, 8080):
        assert worker.kept(order(worker, published("8080"), 1)).state == "confirmed"
        host.run("ipset", "flush", PROXY)
        # A restart is a whole look, which otherwise comes once a minute.
        worker.stop()
        worker.start()
        wait_until("the port in the set", lambda: members_in(host, PROXY) == any_address(8080))

        def told() -> list[ConsoleEvent]:
            return [
                ConsoleEvent.from_json(arguments[0])
                for name, arguments in worker.take_calls()
                if name == "record_console"
            ]

        found: list[ConsoleEvent] = []

        def is_told() -> bool:
            found.extend(told())
            return bool(found)

        wait_until("the event", is_told)
        # Twice if the worker was stopped between the report and the record of it.
        assert {each.verb for each in found} == {"sets-refilled"}


@pytest.mark.parametrize("point", ["sets-created", "sets-filled", "after-sets", "after-rehearse"])
def test_whatever_is_killed_before_the_load_leaves_no_set(
    worker: RootWorker, hooks: Path, point: str
) -> None:
    host = worker.namespace
    before = worker.held()
    (hooks / point).touch()
    value = order(worker, published("8080"), 1)
    wait_until(point, lambda: _pid_at(hooks, point))
    assert sets_in(host) >= PROXIES
    assert worker.process is not None
    # The root worker first, so that it cannot clean up after its job.
    os.kill(worker.process.pid, signal.SIGKILL)
    os.kill(_pid_at(hooks, point), signal.SIGKILL)
    worker.process.wait(PATIENCE)
    (hooks / point).unlink()
    worker.start()
    assert worker.outcome(value).state == "failed"
    wait_until("no set", lambda: not sets_in(host))
    assert _rules(worker.held()) == _rules(before)
    # The same order again is one of the same apply; the next one works.
    assert worker.kept(order(worker, published("8080"), 2)).state == "confirmed"
    assert sets_in(host) == PROXIES


@pytest.mark.parametrize("point", ["loaded-ipv4", "loaded-ipv6", "report-settled"])
def test_whatever_is_killed_in_the_load_restores_rules_whose_sets_are_there(
    worker: RootWorker, hooks: Path, point: str
) -> None:
    host = worker.namespace
    with docker_proxy(host, 8080):
        assert worker.kept(order(worker, published("8080"), 1)).state == "confirmed"
        before = worker.held()
        (hooks / point).touch()
        value = order(worker, plain_document("22"), 2)
        # The checkpoint was reached by the first apply too.
        wait_until(point, lambda: (hooks / "reached").read_text().count(f"{point} ") > 1)
        os.kill(_pid_at(hooks, point), signal.SIGKILL)
        (hooks / point).unlink()
        assert worker.outcome(value, states=("failed", "rolled_back")).state in ("failed", "rolled_back")
        assert _rules(worker.held()) == _rules(before)
        assert members_in(host, PROXY) == any_address(8080)


def _reported(worker: RootWorker) -> tuple[str, ...]:
    """Return the members that the snapshot reports."""
    snapshot = worker.snapshot()
    found = {each.name: each for each in snapshot.sets} if snapshot else {}
    assert found[PROXY].kind == "hash:net,port"
    return tuple(sorted(found[PROXY].members or ()))


def _pid_at(hooks: Path, point: str) -> int:
    """Return the process that waits at a checkpoint, 0 for none."""
    reached = hooks / "reached"
    lines = reached.read_text().splitlines() if reached.exists() else []
    return next((int(line.split()[1]) for line in reversed(lines) if line.split()[0] == point), 0)


def _rules(held: str) -> list[str]:
    return [line for line in held.splitlines() if line.startswith(("-A", ":FILTERS"))]
