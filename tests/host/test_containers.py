"""Asking Docker for its containers: real sockets with good, broken, endless and hostile answers."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockerfw.host import docker
from dockerfw.host.containers import list_containers
from dockerfw.host.networks import list_named_bridges
from dockerfw.host.runner import CommandFailed
from dockerfw.messages.snapshots import MAX_BRIDGES
from dockerfw.messages.surroundings import Container, ContainerPort
from tests.rig.namespace import PATIENCE

ID = "0123456789ab" * 5 + "cdef"
OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
ONE: dict[str, object] = {
    "Id": ID,
    "Names": ["/app/alias", "/db"],
    "State": "running",
    "Labels": {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "database",
        "tier": "web",
        "proxy.users": "admin:$2y$05$abcdefghijklmnopqrstuv",
        "description": "The shop's database",
        "long": "x" * 300,
        "number": 7,
    },
    "HostConfig": {"NetworkMode": "shop_default"},
    "NetworkSettings": {
        "Networks": {
            "shop_default": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "FD00::2"},
            "none": {"IPAddress": "", "GlobalIPv6Address": ""},
        }
    },
    "Ports": [
        {"IP": "0.0.0.0", "PrivatePort": 5432, "PublicPort": 5433, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 5432, "PublicPort": 5433, "Type": "tcp"},
        {"IP": "127.0.0.1", "PrivatePort": 53, "PublicPort": 53, "Type": "udp"},
        {"PrivatePort": 81, "Type": "tcp"},
    ],
}


BRIDGE_NAME = "com.docker.network.bridge.name"


@contextlib.contextmanager
def docker_that(
    answers: Callable[[socket.socket], None], directory: Path
) -> Iterator[tuple[Path, list[bytes]]]:
    """Run a server on a Unix socket that replies with `answers`; yield its path and the received requests."""
    path, requests = directory / "docker.sock", list[bytes]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                requests.append(connection.recv(65536))
                answers(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path, requests
        thread.join(PATIENCE)


def asked(body: bytes, directory: Path) -> tuple[Container, ...] | CommandFailed:
    with docker_that(lambda connection: connection.sendall(body), directory) as (path, _):
        return list_containers(path)


def test_a_container_is_read_from_dockers_answer(tmp_path: Path) -> None:
    with docker_that(lambda to: to.sendall(OK + json.dumps([ONE]).encode()), tmp_path) as (path, requests):
        found = list_containers(path)
    assert requests == [b"GET /containers/json HTTP/1.0\r\nHost: docker\r\n\r\n"]
    assert found == (
        Container(
            id="0123456789ab",
            name="db",
            project="shop",
            service="database",
            network_mode="shop_default",
            addresses=("172.18.0.2", "fd00::2"),
            ports=(
                ContainerPort("tcp", 5432, 5433),
                ContainerPort("udp", 53, 53, "127.0.0.1"),
                ContainerPort("tcp", 81),
            ),
            # Only what a rule can name: the value may be the hash of a password.
            labels=(
                "com.docker.compose.project=shop",
                "com.docker.compose.service=database",
                "description",
                "long",
                "proxy.users",
                "tier=web",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([{"Options": {BRIDGE_NAME: "mybr"}}, {"Options": None}, {}, {"Options": {}}], ("mybr",)),
        ([{"Options": {BRIDGE_NAME: name}} for name in ("docker0", "", "x" * 16, "a b", "e+", 7, None)], ()),
        ([{"Options": {BRIDGE_NAME: f"b{number}"}} for number in range(300)], None),
        ([1, "x", None], ()),
        ({"message": "no"}, ()),
    ],
)
def test_bridges_with_a_name_that_an_admin_chose(
    answer: object, found: tuple[str, ...] | None, tmp_path: Path
) -> None:
    body = OK + json.dumps(answer).encode()
    with docker_that(lambda to: to.sendall(body), tmp_path) as (path, requests):
        bridges = list_named_bridges(path)
    assert requests == [b"GET /networks HTTP/1.0\r\nHost: docker\r\n\r\n"]
    assert bridges == found if found is not None else len(bridges) == MAX_BRIDGES
    assert list_named_bridges(tmp_path / "nothing") == ()


def test_a_container_of_a_swarm_stack(tmp_path: Path) -> None:
    labels = {"com.docker.stack.namespace": "shop", "com.docker.swarm.service.name": "shop_web"}
    found = asked(OK + json.dumps([{**ONE, "Labels": labels, "Ports": None}]).encode(), tmp_path)
    assert isinstance(found, tuple)
    assert (found[0].project, found[0].service, found[0].ports) == ("shop", "shop_web", ())


MANY = range(1, 17_001)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the answer is"),
        (b"\0" * 5000, "the answer is"),
        (b"HTTP/1.1 500 no\r\n\r\n[]", "500"),
        (OK, "not JSON"),
        (OK + b"[" * 100_000, "JSON|nested"),
        (OK + b'{"a": 1}', "not a list"),
        (OK + b"[1]", "something else where an object"),
        (OK + b'[{"Id": "../../etc"}]', "not a container id"),
        (OK + b'[{"Id": "0123456789ab", "Id": "x"}]', "twice"),
        (
            OK + json.dumps([{**ONE, "Ports": [{"PrivatePort": "80", "Type": "tcp"}]}]).encode(),
            "an invalid port",
        ),
        (OK + json.dumps([{**ONE, "Ports": {}}]).encode(), "a list is expected"),
        (OK + json.dumps([{"Id": ID}] * 5000).encode(), "at most 4096"),
        (
            OK + json.dumps([{**ONE, "Ports": [{"PrivatePort": n, "Type": "tcp"} for n in MANY]}]).encode(),
            "17000 ports; at most 16384",
        ),
    ],
)
def test_an_invalid_answer_is_reported_and_not_guessed(answer: bytes, words: str, tmp_path: Path) -> None:
    found = asked(answer, tmp_path)
    assert isinstance(found, CommandFailed)
    assert re.search(words, str(found)), found


def test_names_are_shortened_and_never_trusted(tmp_path: Path) -> None:
    wild = {**ONE, "Names": ["/" + "x" * 9999, 3], "Labels": {"com.docker.compose.project": {"a": 1}}}
    found = asked(OK + json.dumps([wild]).encode(), tmp_path)
    assert isinstance(found, tuple)
    assert (len(found[0].name), found[0].project) == (255, "")


def test_an_endless_answer_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "MAX_BYTES", 1 << 20)

    def endless(connection: socket.socket) -> None:
        connection.sendall(OK)
        while True:
            connection.sendall(b"[" * 65536)

    with docker_that(endless, tmp_path) as (path, _):
        found = list_containers(path)
    assert "more than 1048576 bytes" in str(found)


@pytest.mark.parametrize("drips", [False, True])
def test_a_hanging_docker_is_given_up(drips: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "SECONDS", 0.3)
    done = threading.Event()

    def hang(connection: socket.socket) -> None:
        while not done.wait(0.05):
            if drips:
                connection.sendall(b"H")

    with docker_that(hang, tmp_path) as (path, _):
        found = list_containers(path)
        done.set()
    assert isinstance(found, CommandFailed)
    assert "timed out" in str(found) or "no whole answer" in str(found)


def test_a_missing_socket_is_reported(tmp_path: Path) -> None:
    found = list_containers(tmp_path / "docker.sock")
    assert isinstance(found, CommandFailed)
    assert "No such file" in str(found)
