"""Listening sockets on the real kernel, read by a root worker with and without root's capabilities."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfw.host.observation import observe
from dockerfw.host.sockets import _cgroup_root, parse_listening_sockets
from dockerfw.messages.surroundings import ListeningSocket
from tests.rig.namespace import Namespace, wait_until

pytestmark = pytest.mark.kernel

SERVER = """
import socket, sys
def bound(family, kind, address, port, *options):
    found = socket.socket(family, kind)
    for option in options:
        found.setsockopt(*option)
    found.bind((address, port))
    if kind == socket.SOCK_STREAM:
        found.listen()
    return found
V4, V6, TCP, UDP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
kept = [
    bound(V4, TCP, "0.0.0.0", 22),
    bound(V6, TCP, "::", 80),
    bound(V6, TCP, "::", 81, (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)),
    bound(V6, TCP, "::ffff:127.0.0.1", 82),
    bound(V6, UDP, "::1", 53),
    bound(V4, UDP, "0.0.0.0", 67, (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")),
    bound(V4, TCP, "127.0.0.1", 90, (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)),
    bound(V4, TCP, "127.0.0.1", 90, (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)),
    bound(V4, UDP, "127.0.0.1", 5000),
]
kept[-1].connect(("127.0.0.1", 9))
print("ready", flush=True)
sys.stdin.read()
"""
# As the unit starts the root worker: root with two capabilities, which may not inspect other processes.
AS_ROOT_WORKER = ("setpriv", "--bounding-set=-all,+net_admin,+net_raw", "--inh-caps=-all")
LOOK = """
import json
from dockerfw.host.observation import observe
print(json.dumps([socket.to_json() for socket in observe("local").sockets]))
"""


@pytest.fixture
def server(inside: Namespace) -> Iterator[subprocess.Popen[bytes]]:
    """A process with sockets of many kinds."""
    with listening_server() as process:
        yield process


def listening_server(*prefix: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_every_listening_socket_is_listed(server: subprocess.Popen[bytes]) -> None:
    seen = observe("local")
    assert seen.errors == ()
    found = {
        (s.family, s.protocol, s.address, s.port, s.v6only, s.interface): (s.process, s.pid)
        for s in seen.sockets
    }
    name = Path(f"/proc/{server.pid}/comm").read_text().strip()
    assert set(found) == {
        (4, "tcp", "", 22, False, ""),
        (6, "tcp", "", 80, False, ""),
        (6, "tcp", "", 81, True, ""),
        (4, "tcp", "127.0.0.1", 82, False, ""),
        (6, "udp", "::1", 53, False, ""),
        (4, "udp", "", 67, False, "lo"),
        (4, "tcp", "127.0.0.1", 90, False, ""),
    }
    assert set(found.values()) == {(name, server.pid)}


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group like that of a systemd unit."""
    root = _cgroup_root()
    if root is None or os.geteuid() != 0:
        pytest.skip("no control groups of the second version, or not root")
    made = root / f"dockerfw-test-{uuid.uuid4().hex[:12]}.service"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    wait_until("empty control group", lambda: not (made / "cgroup.procs").read_text())
    made.rmdir()


def in_group(group: Path) -> tuple[str, ...]:
    return ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group))


def seen_as_root_worker() -> list[ListeningSocket]:
    done = subprocess.run([*AS_ROOT_WORKER, sys.executable, "-c", LOOK], capture_output=True, check=True)
    return [ListeningSocket.from_json(value) for value in json.loads(done.stdout)]


def test_a_root_worker_without_roots_capabilities_names_the_unit(inside: Namespace, group: Path) -> None:
    with listening_server(*in_group(group)) as process:
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert b"users:" not in inside.run(*AS_ROOT_WORKER, "ss", "-Hltnp").stdout
        found = seen_as_root_worker()
        assert {(s.unit, s.process, s.pid) for s in found} == {(group.name, name, process.pid)}
        # The group has a second process with another name: which of them listens is unknown.
        with subprocess.Popen([*in_group(group), "sleep", "60"]) as other:
            wait_until("other", lambda: str(other.pid) in (group / "cgroup.procs").read_text().split())
            wait_until("sleep", lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n")
            found = seen_as_root_worker()
            other.kill()
        assert {(s.unit, s.process, s.pid) for s in found} == {(group.name, "", None)}


def test_a_docker_proxy_is_known_by_its_command_line(inside: Namespace, group: Path) -> None:
    # Only name and command line count: the parent of a real docker-proxy may have created its socket.
    code = "import sys; open('/proc/self/comm', 'w').write('docker-proxy'); sys.stdin.read()"
    words = ("-proto", "tcp", "-host-ip", "::", "-host-port", "80", "-container-ip", "172.17.0.2")
    with (
        listening_server(*in_group(group)),
        subprocess.Popen(
            [*in_group(group), sys.executable, "-c", code, *words], stdin=subprocess.PIPE
        ) as proxy,
    ):
        wait_until("proxy", lambda: Path(f"/proc/{proxy.pid}/comm").read_text() == "docker-proxy\n")
        found = {(s.family, s.port): (s.process, s.pid) for s in seen_as_root_worker()}
    assert found.pop((6, 80)) == ("docker-proxy", proxy.pid)
    assert set(found.values()) == {("", None)}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "tcp LISTEN",
        "tcp LISTEN 0 0 *:* *:*",
        "tcp LISTEN 0 0 *:0 *:* x",
        "tcp LISTEN 0 0 *:99999 *:* x",
        "tcp LISTEN 0 0 999.1.1.1:80 *:* x",
        "tcp LISTEN 0 0 [::1:80 *:* x",
        "raw UNCONN 0 0 *:80 *:* x",
    ],
)
def test_other_lines_are_ignored(line: str) -> None:
    assert parse_listening_sockets(line.encode()) == ()


def test_the_sockets_of_thousands_of_published_ports_are_all_read() -> None:
    # docker-proxy has a socket for each published port and family.
    lines = [
        f"tcp LISTEN 0 4096 {any_address}:{port} *:* ino:1"
        for any_address in ("0.0.0.0", "[::]")
        for port in range(9_000, 12_000)
    ]
    assert len(parse_listening_sockets("\n".join(lines).encode())) == 6_000


def test_a_process_cannot_hide_its_socket_with_its_name() -> None:
    users = b'users:(("a\x1b[2J",pid=1,fd=3)",pid=7,fd=3))'
    (found,) = parse_listening_sockets(
        b"tcp LISTEN 0 128 *:80 *:* " + users + b" ino:1 sk:1 cgroup:/../x v6only:0"
    )
    assert (found.port, found.process.isprintable(), found.unit) == (80, True, "")
