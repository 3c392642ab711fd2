"""Which sockets are docker-proxy's: only those of root's docker-proxy outside containers."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from dockerfw.host import sockets
from dockerfw.host.docker_proxies import (
    NOT_DOCKERS,
    find_docker_proxies,
    is_published,
)
from dockerfw.host.observation import observe, read_bound_members
from dockerfw.host.sockets import parse_listening_sockets
from dockerfw.messages.surroundings import ListeningSocket, PublishedPort
from tests.host.test_sockets import AS_ROOT_WORKER
from tests.rig.connections import listening
from tests.rig.docker_proxy import docker_proxy
from tests.rig.namespace import Backend, Namespace

pytestmark = pytest.mark.kernel

LOOK = """
import json
from dockerfw.host.observation import read_bound_members
print(json.dumps(dict(read_bound_members(()).members)))
"""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def names(port: int) -> list[str]:
    """Return the processes of the sockets on a port."""
    return [each.process for each in observe("local").sockets if each.port == port]


def test_only_what_docker_proxy_holds_is_a_member(inside: Namespace) -> None:
    # (All processes of the machine are seen, also those of other tests.)
    with (
        docker_proxy(inside, 38080),
        docker_proxy(inside, 38081, "::"),
        docker_proxy(inside, 38082, "127.0.0.1"),
        docker_proxy(inside, 38083, before=NOBODY),
        listening(inside, "0.0.0.0", 5432),
    ):
        wanted = {
            "dockerfw4-bridges": [],
            "dockerfw4-proxy": ["0.0.0.0/1,tcp:38080", "128.0.0.0/1,tcp:38080"],
            "dockerfw6-bridges": [],
            "dockerfw6-proxy": ["8000::/1,tcp:38081", "::/1,tcp:38081"],
        }
        members = read_bound_members(()).members
        assert {name: list(found) for name, found in members.items()} == wanted
        # As the unit starts the root worker, which may not see the processes behind sockets.
        done = subprocess.run([*AS_ROOT_WORKER, sys.executable, "-c", LOOK], capture_output=True, check=True)
        assert json.loads(done.stdout) == wanted
        assert names(38080) == ["docker-proxy"]
        # Another user's process may call itself docker-proxy, and a rule for 38083 must not open it.
        assert names(38083) == [NOT_DOCKERS]
        held = {port for _, _, port in find_docker_proxies()}
        assert {"38080", "38081", "38082"} <= held
        assert "38083" not in held
    assert read_bound_members(()).members["dockerfw4-proxy"] == ()


CONTAINER = "0123456789ab" * 5 + "0123"


@pytest.mark.parametrize(
    ("rest", "process"),
    [
        (
            'users:(("docker-proxy",pid=999999,fd=4)) ino:1 sk:1 cgroup:/system.slice/docker.service',
            "docker-proxy",
        ),
        ('users:(("docker-proxy",pid=999999,fd=4)) uid:1000 ino:1 sk:1 cgroup:/user.slice', NOT_DOCKERS),
        (
            f'users:(("docker-proxy",pid=999999,fd=4)) ino:1 sk:1 cgroup:/docker/{CONTAINER}',
            NOT_DOCKERS,
        ),
        (
            'users:(("dockerd",pid=999998,fd=9),("docker-proxy",pid=999999,fd=4)) ino:1 sk:1 cgroup:/',
            "docker-proxy",
        ),
        ('users:(("sshd",pid=999999,fd=4),("systemd",pid=1,fd=9)) ino:1 sk:1 cgroup:/', "sshd"),
        ('users:(("postgres",pid=999999,fd=4)) uid:70 ino:1 sk:1 cgroup:/', "postgres"),
    ],
    ids=["Docker's", "another user's", "in a container", "handed over", "two", "another program"],
)
def test_lines_of_ss(rest: str, process: str) -> None:
    (found,) = parse_listening_sockets(f"tcp LISTEN 0 4096 0.0.0.0:8080 0.0.0.0:* {rest}\n".encode())
    assert found.process == process


def test_many_published_ports_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = range(1024, 1024 + 6000)
    lines = "".join(
        f"tcp LISTEN 0 4096 0.0.0.0:{port} 0.0.0.0:* ino:1 sk:1 cgroup:/system.slice/docker.service\n"
        for port in ports
    )
    held = {("tcp", "0.0.0.0", str(port)): port for port in ports}
    group = {**dict.fromkeys(held.values(), "docker-proxy"), 1: "dockerd"}
    monkeypatch.setattr(sockets, "find_docker_proxies", lambda: held)
    monkeypatch.setattr(sockets, "_members", lambda _: group)
    began = time.process_time()
    found = parse_listening_sockets(lines.encode())
    assert time.process_time() - began < 5
    assert [(each.process, each.pid) for each in found] == [("docker-proxy", port) for port in ports]


NAT = """*nat
:DOCKER - [0:0]
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8083 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 192.0.2.1/32 ! -i docker0 -p tcp -m tcp --dport 5433 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""
HIDDEN = ("unshare", "--pid", "--fork", "--mount-proc")


def test_in_a_container_docker_proxy_is_told_by_what_docker_publishes(
    inside: Namespace, backend: Backend
) -> None:
    inside.add_interface()
    inside.restore(NAT, backend)
    with (
        docker_proxy(inside, 8080),
        docker_proxy(inside, 8083, before=NOBODY),
        docker_proxy(inside, 8085),
        listening(inside, "0.0.0.0", 5432),
        listening(inside, "127.0.0.1", 5433),
    ):
        words = (*HIDDEN, *AS_ROOT_WORKER, sys.executable, "-c", LOOK)
        done = subprocess.run(words, capture_output=True, check=True)
        # 8085 is docker-proxy's too, but here nothing shows that.
        assert json.loads(done.stdout)["dockerfw4-proxy"] == ["0.0.0.0/1,tcp:8080", "128.0.0.0/1,tcp:8080"]


@pytest.mark.parametrize(
    ("unit", "address", "published"),
    [
        ("", "", True),
        ("docker.service", "", True),
        ("nginx.service", "", False),
        ("", "192.0.2.1", False),
    ],
)
def test_which_socket_may_be_that_of_a_published_port(unit: str, address: str, published: bool) -> None:
    socket = ListeningSocket(4, "tcp", address, 8080, unit=unit)
    assert is_published(socket, (PublishedPort(4, "tcp", "", 8080, "172.17.0.2", 80),)) is published
