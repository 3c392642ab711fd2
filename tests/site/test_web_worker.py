"""The web worker in a real gunicorn: what a client on a raw connection gets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfw_site.incoming import MOST_BODY_BYTES, Lane
from dockerfw_site.web_worker import (
    LINGER_SECONDS,
    MOST_LARGE_BYTES,
    MOST_OPEN_BY_PEER,
    MOST_PASSWORDS_BY_PEER,
    SEND_SECONDS,
    THREADS,
)
from tests.rig.namespace import PATIENCE, end_process, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
SIGN_IN = b"POST /sign-in/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


@contextlib.contextmanager
def gunicorn(folder: Path, *before: str) -> Iterator[int]:
    """Run a gunicorn with dockerfw's settings and a small site, and return its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        command = [
            *before,
            *(sys.executable, "-m", "gunicorn", "tests.rig.slow_site", "--bind", f"fd://{server.fileno()}"),
            *("--config", "python:dockerfw_site.gunicorn_settings"),
        ]
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "dockerfw_site.settings"},
            pass_fds=[server.fileno()],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield server.getsockname()[1]
        finally:
            end_process(process)
            log.close()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a web worker."""
    with gunicorn(tmp_path_factory.mktemp("web")) as found:
        yield found


@pytest.fixture
def poor(tmp_path: Path) -> Iterator[int]:
    """The port of a web worker that may open 120 files."""
    with gunicorn(tmp_path, "prlimit", "--nofile=120", "--") as found:
        yield found


def opened(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    """Open a connection and send the beginning of a request."""
    place = ("127.0.0.1", port)
    connection = socket.create_connection(place, timeout=PATIENCE, source_address=(source, 0))
    connection.sendall(sent)
    return connection


def answer(connection: socket.socket) -> str:
    """Return everything that the server sends until it closes the connection."""
    received = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received.decode()


def wait_until_read(*connections: socket.socket) -> None:
    """Wait until the server has taken from the kernel all that these connections were sent."""
    ports = {f"{connection.getsockname()[1]:04X}" for connection in connections}

    def is_read() -> bool:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, here, there, _, queued, *_ = line.split()
            to_send, to_read = queued.split(":")
            if (here[-4:] in ports and int(to_send, 16)) or (there[-4:] in ports and int(to_read, 16)):
                return False
        return True

    wait_until("the server to read", is_read)


def answer_all(connections: list[socket.socket]) -> tuple[list[threading.Thread], list[str]]:
    """Read the answers of these connections in the background."""
    answers: list[str] = []
    threads = [threading.Thread(target=lambda c=each: answers.append(answer(c))) for each in connections]
    for thread in threads:
        thread.start()
    return threads, answers


def refused(answers: list[str]) -> int:
    """Return how many of them say that the lane is full."""
    return sum("503 Service Unavailable" in text for text in answers)


@contextlib.contextmanager
def holding(port: int) -> Iterator[None]:
    """Let sign-ins and slow pages wait for the end of a `with` block."""
    # The threads that wait are not those of a session's pages.
    cookie = f"Cookie: {tell(port, 'cookie')}=x\r\n"
    assert tell(port, "hold", cookie=cookie)
    try:
        yield
    finally:
        assert tell(port, "release", cookie=cookie)


def test_a_request_in_pieces_is_answered(port: int) -> None:
    connection = opened(port, b"GET / HTTP/1.1\r\n")
    wait_until_read(connection)
    connection.sendall(b"Host: a\r\n\r\n")
    assert answer(connection).endswith("\r\n\r\nGET 0")
    connection = opened(port, SIGN_IN)
    wait_until_read(connection)
    connection.sendall(b"hello")
    assert answer(connection).endswith("\r\n\r\nPOST 5")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 40_000, "431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\nab", "413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "411"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello", "400"),
        (b"nonsense\r\n\r\n", "400"),
    ],
)
def test_what_must_not_arrive_is_refused_at_once(port: int, sent: bytes, status: str) -> None:
    # What the server waits for in vain it answers with 408.
    assert answer(opened(port, sent)).startswith(f"HTTP/1.1 {status} ")


def test_a_request_that_does_not_end_is_ended(port: int) -> None:
    header, body = opened(port, b"GET / HT"), opened(port, SIGN_IN + b"hel")
    idle = opened(port)
    assert answer(header).startswith("HTTP/1.1 408 ")
    assert answer(body).startswith("HTTP/1.1 408 ")
    assert answer(idle) == ""


def test_the_oldest_unfinished_connection_of_a_client_gives_way(port: int) -> None:
    held = [opened(port, b"GET / HTTP/1.1\r\n") for _ in range(MOST_OPEN_BY_PEER)]
    last = opened(port)
    assert answer(held[0]) == ""
    for connection in held[1:]:
        connection.sendall(b"Host: a\r\n\r\n")
    assert all(answer(connection).endswith("GET 0") for connection in held[1:])
    last.close()


def test_a_connection_that_gave_way_in_the_same_moment_harms_nobody(port: int) -> None:
    ask = b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n"
    worker = answer(opened(port, ask)).rpartition("\n")[2]
    held = [opened(port, b"GET / HTTP/1.1\r\n") for _ in range(MOST_OPEN_BY_PEER)]
    wait_until_read(*held)
    # The worker finds new connections and bytes on those that give way to them at once.
    os.kill(int(worker), signal.SIGSTOP)
    new = [opened(port) for _ in range(5)]
    for connection in held:
        connection.sendall(b"Host")
    os.kill(int(worker), signal.SIGCONT)
    assert answer(opened(port, ask)).endswith(f"\n{worker}")
    for connection in (*held, *new):
        connection.close()


def test_two_passwords_at_most_are_checked_at_the_same_time(port: int) -> None:
    with holding(port):
        connections = [opened(port, SIGN_IN + b"hello") for _ in range(6)]
        wait_until_read(*connections)
        # Meanwhile others get an answer.
        assert answer(opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("GET 0")
    assert all(answer(each).endswith("POST 5") for each in connections)
    assert answer(opened(port, b"GET /most HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("\r\n\r\n2")


def test_a_lane_that_is_full_says_so(port: int) -> None:
    sources = [f"127.0.0.{2 + number % 5}" for number in range(70)]
    with holding(port):
        threads, answers = answer_all([opened(port, SIGN_IN + b"hello", source) for source in sources])
        wait_until("the refusals", lambda: refused(answers) == 6)
        assert answer(opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("GET 0")
    for thread in threads:
        thread.join()
    assert len(answers) == 70
    assert refused(answers) == 6


def test_a_flood_of_sign_ins_lets_others_sign_in(port: int) -> None:
    with holding(port):
        threads, answers = answer_all([opened(port, SIGN_IN + b"hello", "127.0.0.2") for _ in range(40)])
        wait_until("the refusals", lambda: refused(answers) == 40 - MOST_PASSWORDS_BY_PEER)
        other = opened(port, SIGN_IN + b"hello", "127.0.0.3")
        wait_until_read(other)
    assert answer(other).endswith("POST 5")
    for thread in threads:
        thread.join()
    assert refused(answers) == 40 - MOST_PASSWORDS_BY_PEER


def tell(port: int, what: str, source: str = "127.0.0.1", *, cookie: str = "") -> str:
    """Return what the site says of itself, asked by a stranger or with a session's cookie."""
    ask = f"GET /{what} HTTP/1.1\r\nHost: a\r\n{cookie}\r\n".encode()
    return answer(opened(port, ask, source)).rpartition("\n")[2]


def test_the_client_with_the_most_connections_gives_way_to_others(poor: int) -> None:
    many = [opened(poor, b"GET / HTTP/1.1\r\n", "127.0.0.2") for _ in range(45)]
    few = [opened(poor, b"GET / HTTP/1.1\r\n", "127.0.0.3") for _ in range(15)]
    wait_until_read(*many, *few)
    last = opened(poor, b"GET / HTTP/1.1\r\n", "127.0.0.4")
    assert answer(many[0]) == ""
    rest = (*many[1:], *few, last)
    for connection in rest:
        connection.sendall(b"Host: a\r\n\r\n")
    assert all(answer(connection).endswith("GET 0") for connection in rest)


def test_a_worker_without_a_free_descriptor_goes_on(poor: int) -> None:
    worker = tell(poor, "pid")
    half = [opened(poor, b"GET / HTTP/1.1\r\n", f"127.0.0.{2 + number % 2}") for number in range(58)]
    # These wait for a thread, and so cannot give way.
    whole = [opened(poor, SIGN_IN + b"hello", f"127.0.1.{2 + number % 5}") for number in range(64)]
    more = [opened(poor, b"GET / HTTP/1.1\r\n", f"127.0.2.{2 + number % 2}") for number in range(60)]
    assert tell(poor, "pid", "127.0.3.1") == worker
    for connection in (*half, *whole, *more):
        connection.close()


def upload(port: int, path: str) -> bytes:
    """Return the header of the largest body that a session may send."""
    cookie = f"Cookie: {tell(port, 'cookie')}=guessed\r\n"
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{cookie}Content-Length: {MOST_BODY_BYTES}\r\n\r\n".encode()


def test_large_bodies_are_bounded_together(port: int) -> None:
    # (With their headers, one less of the longest has room.)
    room = MOST_LARGE_BYTES // MOST_BODY_BYTES - 1
    body = b"a" * MOST_BODY_BYTES
    quick, slow = upload(port, "/"), upload(port, "/password/")
    arriving = [opened(port, quick + b"a") for _ in range(room)]
    wait_until_read(*arriving)
    # The oldest that still arrives gives way.
    assert answer(opened(port, quick + body)).endswith(f"POST {MOST_BODY_BYTES}")
    assert answer(arriving[0]) == ""
    for connection in arriving[1:]:
        connection.close()
    # (The server has seen their end when it answers a later one.)
    assert tell(port, "pid")
    # Those that have arrived, and wait for a thread or have one, stay.
    with holding(port):
        handled = [opened(port, slow + body) for _ in range(room)]
        wait_until_read(*handled)
        assert answer(opened(port, quick + b"a")).startswith("HTTP/1.1 503 ")
    assert all(answer(each).endswith(f"POST {MOST_BODY_BYTES}") for each in handled)


def test_an_answer_that_is_not_read_occupies_no_thread(port: int) -> None:
    held = []
    for _ in range(THREADS[Lane.ANONYMOUS]):
        connection = socket.socket()
        # What the client does not take stays in the kernel of the server.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /long/200000 HTTP/1.1\r\nHost: a\r\n\r\n")
        held.append(connection)
    wait_until_read(*held)
    began = time.monotonic()
    assert answer(opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("GET 0")
    # A thread that waits for a client gives up after that.
    assert time.monotonic() - began < SEND_SECONDS
    for connection in held:
        connection.close()


def test_a_long_answer_that_is_not_read_occupies_a_thread_only_so_long(port: int) -> None:
    ask = b"GET /long/20000000 HTTP/1.1\r\nHost: a\r\n\r\n"
    held = [opened(port, ask) for _ in range(THREADS[Lane.ANONYMOUS])]
    wait_until_read(*held)
    last = opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer(last).endswith("GET 0")
    for connection in held:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/hosts/local/applies/0/keep/"])
def test_strangers_delay_no_request_of_a_session(port: int, path: str) -> None:
    cookie = tell(port, "cookie")
    with holding(port):
        flood = [opened(port, b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(40)]
        wait_until_read(*flood)
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}=x\r\n\r\n"
        assert answer(opened(port, head.encode())).endswith("GET 0")
    assert all(answer(connection).endswith("GET 0") for connection in flood)


def test_clients_that_leave_the_connection_open_delay_nobody(port: int) -> None:
    held = [opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(10)]
    began = time.monotonic()
    assert answer(opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("GET 0")
    # One after the other, each for as long as the server waits for a client's end, they would take this long.
    assert time.monotonic() - began < len(held) / THREADS[Lane.ANONYMOUS] * LINGER_SECONDS
    for connection in held:
        connection.close()
