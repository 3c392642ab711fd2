"""The end of sessions by way of the queue: what kill -9 between Keep and their end leaves undone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket

import pytest

from dockerfw.document.document import digest, parse_document
from dockerfw.host.clock import utc_now
from tests.rig.connections import ask, connect, listening
from tests.rig.datagrams import answers, echoing, flow
from tests.rig.namespace import Namespace, end_process, join_namespaces, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker

pytestmark = [
    pytest.mark.redis,
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can join two namespaces"),
]

HOST, CLIENT = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def client(namespace: Namespace, make_namespace: Callable[..., Namespace]) -> Namespace:
    """A machine beside the host."""
    client = make_namespace("client")
    join_namespaces(namespace, "ens33", client, "eth0")
    namespace.run("ip", "address", "add", f"{HOST}/24", "dev", "ens33")
    client.run("ip", "address", "add", f"{CLIENT}/24", "dev", "eth0")
    return client


@pytest.fixture
def session(namespace: Namespace, client: Namespace) -> Iterator[Callable[[], socket]]:
    """Opens a session with the host's port 22 from the machine beside it."""
    opened: list[socket] = []

    def open_one() -> socket:
        opened.append(connect(client, HOST, 22))
        assert ask(opened[-1], "before\n")
        return opened[-1]

    with listening(namespace, HOST, 22, "ssh"):
        yield open_one
        for connection in opened:
            connection.close()


@pytest.fixture
def root_worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker that can be made to wait between any two steps."""
    worker = RootWorker(redis_server, namespace, tmp_path)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    worker.environment["DOCKERFW_HOOK_DIR"] = str(hooks)
    worker.start().wait_until_serving()
    yield worker
    worker.stop()
    (worker.state / "window.json").unlink(missing_ok=True)
    print(worker.words())


@pytest.mark.parametrize("point", ["keep-switched", "sessions-begin", "sessions-ended"])
@pytest.mark.parametrize("whole", [False, True], ids=["the job", "the job and its worker"])
def test_ending_sessions_resumes_after_kill_9(
    root_worker: RootWorker, session: Callable[[], socket], tmp_path: Path, point: str, whole: bool
) -> None:
    assert root_worker.kept(root_worker.order("22", sequence=1)).state == "confirmed"
    connection = session()
    order = root_worker.order("443", sequence=2, end_sessions=True)
    assert root_worker.outcome(order).state == "awaiting"
    assert ask(connection, "still here\n")
    hook, reached = tmp_path / "hooks" / point, tmp_path / "hooks" / "reached"
    # The first apply's keep has been there too.
    before = reached.read_text().split().count(point)
    hook.touch()
    root_worker.answer(order, "keep")
    wait_until(point, lambda: reached.read_text().split().count(point) > before)
    job = next(int(line.split()[1]) for line in reversed(reached.read_text().splitlines()) if point in line)
    if whole:
        assert root_worker.process is not None
        os.kill(root_worker.process.pid, signal.SIGKILL)
    os.kill(job, signal.SIGKILL)
    hook.unlink()
    if whole:
        assert root_worker.process is not None
        end_process(root_worker.process)
        root_worker.redis.flushall()
        root_worker.start()
    end = root_worker.outcome(order, states=("confirmed", "rolled_back", "failed"))
    assert end.state == "confirmed"
    assert end.steps[-1].detail == (
        "no session had to be ended" if point == "sessions-ended" else "1 session ended"
    )
    with pytest.raises((ConnectionError, IndexError)):
        ask(connection, "after\n")
    assert not (root_worker.state / "window.json").exists()


def test_connections_end_with_the_rule_that_expires(
    root_worker: RootWorker, session: Callable[[], socket], namespace: Namespace, client: Namespace
) -> None:
    with echoing(namespace.entered(), HOST, 22), flow(client, HOST, 22) as datagrams:
        play_the_end(root_worker, session, datagrams)
        with flow(client, HOST, 22) as fresh:
            assert not answers(fresh)


def play_the_end(root_worker: RootWorker, session: Callable[[], socket], datagrams: socket) -> None:
    """Have a rule expire while the root worker is stopped, and start it again."""
    ends = f"{utc_now(ahead=20)[:19]}Z"
    document = expiring(ends)
    order = root_worker.order(sequence=1, document=document, digest=digest(parse_document(document)))
    assert root_worker.kept(order).state == "confirmed"
    connection = session()
    assert answers(datagrams)
    assert root_worker.process is not None
    root_worker.stop()
    # The clock of the kernel's match is some milliseconds late.
    wait_until("the end of the rule", lambda: utc_now(ahead=-1) > f"{ends[:-1]}.999Z")
    # The kernel refuses new connections with nothing of dockerfw running. The open one goes on.
    with pytest.raises(OSError, match="No route to host"):
        session()
    assert ask(connection, "after the end\n")
    assert answers(datagrams)
    root_worker.start().wait_until_serving()
    wait_until("an unasked look", lambda: "since these rules have expired" in root_worker.words())
    with pytest.raises((ConnectionError, IndexError)):
        ask(connection, "after the look\n")
    assert not answers(datagrams)
    assert (root_worker.state / "expiry.json").exists()


def expiring(ends: str) -> dict[str, object]:
    """Return a document that allows the client until a time, and another network for ever."""
    ssh = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
    both = [{**ssh, "protocol": protocol, "expires": ends} for protocol in ("tcp", "udp")]
    rules = [*both, {**ssh, "sources": ["198.51.100.0/24"]}]
    return {"format": "dockerfw/2", "settings": {"external_interfaces": ["ens33"]}, "rules": rules}
