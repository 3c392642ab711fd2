"""The binder's process follows the host: changes of interfaces, Docker's events, its own end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockerfw.bindings.binder_start import MODULE, BinderKeeper
from dockerfw.host.bound_sets import read_bound_sets
from dockerfw.store.bound_sets import has_bound_record
from dockerfw.store.confirmed import CONFIRMED, read_confirmed
from dockerfw.store.state import StateDirectory
from tests.rig.bound_sets import BRIDGES, PROXIES, PROXY, add_bridge, any_address, published, sets_in
from tests.rig.docker_proxy import docker_proxy
from tests.rig.host_states import HOST, answer, document, order, run
from tests.rig.namespace import FAMILIES, PATIENCE, Namespace, wait_until

pytestmark = pytest.mark.kernel


def binders(state: StateDirectory) -> list[int]:
    """Return the ids of the processes that bind for this state directory."""
    mark = f"{MODULE}\0{state.path}".encode()
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and mark in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


@pytest.fixture
def make_keeper(state: StateDirectory) -> Iterator[Callable[..., BinderKeeper]]:
    """Make the root worker's end of the binder; it is stopped with the test."""
    made = []

    def make(docker_socket: Path | None = None) -> BinderKeeper:
        made.append(
            BinderKeeper(
                state,
                host=HOST,
                docker_socket=docker_socket,
                confirmed=lambda: read_confirmed(state.boot),
            )
        )
        return made[-1]

    yield make
    for keeper in made:
        keeper.stop()
    assert not binders(state)


def keep(state: StateDirectory, value: dict[str, object], sequence: int = 1) -> None:
    outcome = run(order(value, sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state, sequence=sequence).state == "confirmed"


def start(keeper: BinderKeeper, state: StateDirectory) -> None:
    """Start a binder and wait for its first look, so that what follows is noticed and not just seen."""
    first = (state.path / "bound.json").stat().st_mtime_ns
    keeper.check()
    wait_until("the first look", lambda: (state.path / "bound.json").stat().st_mtime_ns != first)


def proxied() -> tuple[str, ...]:
    return read_bound_sets([PROXY])[PROXY]


def test_no_binder_runs_where_no_revision_needs_one(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keeper = make_keeper()
    keeper.check()
    assert not binders(state)
    keep(state, document("22"))
    keeper.check()
    assert not binders(state)


def test_the_sets_follow_a_container_without_dockers_socket(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keep(state, published("8080", reach="allow"))
    start(make_keeper(), state)
    # As Docker does: a bridge, a container's interface, and a moment later docker-proxy.
    add_bridge(inside)
    inside.run("ip", "link", "add", "veth0123456", "type", "veth", "peer", "name", "in")
    inside.run("ip", "link", "set", "veth0123456", "master", "docker0")
    time.sleep(0.3)
    with docker_proxy(inside, 8080):
        wait_until("the port in the set", lambda: proxied() == any_address(8080))
        assert read_bound_sets([BRIDGES])[BRIDGES] == ("172.17.0.0/16,docker0",)
    inside.run("ip", "link", "delete", "veth0123456")
    wait_until("the port out of the set", lambda: proxied() == ())
    inside.run("ip", "link", "delete", "docker0")
    wait_until("the network out of the set", lambda: read_bound_sets([BRIDGES])[BRIDGES] == ())


def test_nothing_is_written_while_nothing_changes(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keep(state, published("8080"))
    start(make_keeper(), state)
    record = (state.path / "bound.json").stat().st_mtime_ns
    inside.add_interface("eth7", ())
    time.sleep(2)
    assert (state.path / "bound.json").stat().st_mtime_ns == record


class HostileDocker:
    """A socket that answers the request for events with whatever a test wants, and counts the requests."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.requests: list[bytes] = []
        self.say = threading.Event()
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection:
                    self.requests.append(connection.recv(65536))
                    if b"/containers/json" in self.requests[-1]:
                        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n[]")
                        continue
                    self.say.wait(PATIENCE)
                    self.say.clear()
                    with contextlib.suppress(OSError):
                        connection.sendall(self._answer)

    def close(self) -> None:
        self._server.close()


@pytest.mark.parametrize(
    "words",
    [b"HTTP/1.0 200 OK\r\n\r\n{}\n", b"x" * 5_000_000, b"\0\xff" * 100, b"HTTP/1.0 500 no\r\n\r\n"],
    ids=["an event", "a line without end", "no text", "a refusal"],
)
def test_an_event_of_docker_is_a_look_whatever_it_says(
    inside: Namespace,
    state: StateDirectory,
    make_keeper: Callable[..., BinderKeeper],
    tmp_path: Path,
    words: bytes,
) -> None:
    keep(state, published("8080"))
    docker = HostileDocker(tmp_path / "docker.sock", words)
    try:
        start(make_keeper(tmp_path / "docker.sock"), state)
        wait_until("the request", lambda: any(b"GET /events?filters=" in each for each in docker.requests))
        with docker_proxy(inside, 8080):
            time.sleep(1.5)
            assert proxied() == ()
            docker.say.set()
            wait_until("the port in the set", lambda: proxied() == any_address(8080))
            assert len(binders(state)) == 1
    finally:
        docker.say.set()
        docker.close()


def test_the_binder_ends_when_no_revision_needs_sets(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keep(state, published("8080"))
    keeper = make_keeper()
    keeper.check()
    wait_until("the binder", lambda: binders(state))
    assert sets_in(inside) == PROXIES
    keep(state, document("22"), 2)
    wait_until("the binder's end", lambda: not binders(state))
    assert (sets_in(inside), has_bound_record(state)) == (set(), False)
    keeper.check()
    assert not binders(state)


def test_the_binder_waits_for_the_end_of_a_keep_and_no_longer(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keep(state, published("8080"))
    start(make_keeper(), state)
    (binder,) = binders(state)
    os.kill(binder, signal.SIGSTOP)
    keep(state, document("22"), 2)
    # The lock is still held when the binder sees that another revision is confirmed.
    with state.lock():
        os.kill(binder, signal.SIGCONT)
        time.sleep(2.5)
        assert binders(state)
    wait_until("the binder's end", lambda: not binders(state))
    assert sets_in(inside) == set()


def test_a_binder_that_was_killed_is_started_again(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keep(state, published("8080"))
    keeper = make_keeper()
    keeper.check()
    wait_until("the binder", lambda: binders(state))
    (first,) = binders(state)
    keeper.check()
    assert binders(state) == [first]
    inside.run("kill", "-9", str(first))

    def is_another() -> bool:
        keeper.check()
        return binders(state) not in ([], [first])

    wait_until("another binder", is_another)


def test_after_a_backup_was_restored_and_the_host_booted_the_sets_are_filled(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keep(state, published("8080"))
    # A backup has no loaded rules, and a boot creates the sets empty.
    path = state.boot / CONFIRMED
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in record.items() if "loaded" not in key}))
    (state.path / "bound.json").unlink()
    with docker_proxy(inside, 8080):
        make_keeper().check()
        wait_until("the port in the set", lambda: proxied() == any_address(8080))
    # Without the rules nothing holds the sets, but a boot may bring both back at any time.
    for family in FAMILIES:
        inside.restore("*filter\nCOMMIT\n", family=family, noflush=False)
    time.sleep(1.5)
    assert len(binders(state)) == 1


def test_a_storm_of_changes_puts_no_look_off(
    inside: Namespace, state: StateDirectory, make_keeper: Callable[..., BinderKeeper]
) -> None:
    keep(state, published("8080"))
    start(make_keeper(), state)
    inside.add_interface("eth7", ())
    inside.start("sh", "-c", "while :; do ip link set eth7 down; ip link set eth7 up; done")
    with docker_proxy(inside, 8080):
        wait_until("the port in the set", lambda: proxied() == any_address(8080))
