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

from dockerfw_site.incoming import HEAD_SECONDS
from dockerfw_site.web_worker import MOST_OPEN_BY_PEER, MOST_PASSWORDS_BY_PEER
from tests.rig.namespace import end_process

ROOT = Path(__file__).resolve().parent.parent.parent
SIGN_IN = b"POST /sign-in/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a gunicorn with dockerfw's settings and a small site."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        command = [
            *(sys.executable, "-m", "gunicorn", "tests.rig.slow_site", "--bind", f"fd://{server.fileno()}"),
            *("--config", "python:dockerfw_site.gunicorn_settings"),
        ]
        log = (tmp_path_factory.mktemp("web") / "log").open("wb")
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


def opened(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    """Open a connection and send the beginning of a request."""
    place = ("127.0.0.1", port)
    connection = socket.create_connection(place, timeout=HEAD_SECONDS + 5, source_address=(source, 0))
    connection.sendall(sent)
    return connection


def answer(connection: socket.socket) -> str:
    """Return everything that the server sends until it closes the connection."""
    received = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received.decode()


def test_a_request_in_pieces_is_answered(port: int) -> None:
    connection = opened(port, b"GET / HTTP/1.1\r\n")
    time.sleep(0.2)
    connection.sendall(b"Host: a\r\n\r\n")
    assert answer(connection).endswith("\r\n\r\nGET 0")
    connection = opened(port, SIGN_IN)
    time.sleep(0.2)
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
    began = time.monotonic()
    assert answer(opened(port, sent)).startswith(f"HTTP/1.1 {status} ")
    assert time.monotonic() - began < 2.5


def test_a_request_that_does_not_end_is_ended(port: int) -> None:
    header, body = opened(port, b"GET / HT"), opened(port, SIGN_IN + b"hel")
    idle = opened(port)
    assert answer(header).startswith("HTTP/1.1 408 ")
    assert answer(body).startswith("HTTP/1.1 408 ")
    assert answer(idle) == ""


def test_the_oldest_unfinished_connection_of_a_client_gives_way(port: int) -> None:
    held = [opened(port, b"GET / HTTP/1.1\r\n") for _ in range(MOST_OPEN_BY_PEER)]
    last = opened(port)
    time.sleep(0.3)
    held[0].settimeout(1)
    assert answer(held[0]) == ""
    for connection in held[1:]:
        connection.sendall(b"Host: a\r\n\r\n")
        assert answer(connection).endswith("GET 0")
    last.close()


def test_a_connection_that_gave_way_in_the_same_moment_harms_nobody(port: int) -> None:
    ask = b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n"
    worker = answer(opened(port, ask)).rpartition("\n")[2]
    held = [opened(port, b"GET / HTTP/1.1\r\n") for _ in range(MOST_OPEN_BY_PEER)]
    time.sleep(0.3)
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
    connections = [opened(port, SIGN_IN + b"hello") for _ in range(6)]
    threads = [threading.Thread(target=answer, args=(each,)) for each in connections]
    for thread in threads:
        thread.start()
    # Meanwhile others get an answer.
    began = time.monotonic()
    assert answer(opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("GET 0")
    assert time.monotonic() - began < 0.5
    for thread in threads:
        thread.join()
    assert answer(opened(port, b"GET /most HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("\r\n\r\n2")


def test_a_lane_that_is_full_says_so(port: int) -> None:
    sources = [f"127.0.0.{2 + number % 5}" for number in range(70)]
    connections = [opened(port, SIGN_IN + b"hello", source) for source in sources]
    answers: list[str] = []
    threads = [threading.Thread(target=lambda c=c: answers.append(answer(c))) for c in connections]
    for thread in threads:
        thread.start()
    assert answer(opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("GET 0")
    for thread in threads:
        thread.join()
    assert len(answers) == 70
    assert sum("503 Service Unavailable" in text for text in answers) == 6


def test_a_flood_of_sign_ins_lets_others_sign_in(port: int) -> None:
    flood = [opened(port, SIGN_IN + b"hello", "127.0.0.2") for _ in range(40)]
    time.sleep(0.3)
    began = time.monotonic()
    assert answer(opened(port, SIGN_IN + b"hello", "127.0.0.3")).endswith("POST 5")
    assert time.monotonic() - began < 4
    answers = [answer(connection) for connection in flood]
    assert sum("503 Service Unavailable" in text for text in answers) == 40 - MOST_PASSWORDS_BY_PEER


def test_clients_that_leave_the_connection_open_delay_nobody(port: int) -> None:
    held = [opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(10)]
    began = time.monotonic()
    assert answer(opened(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith("GET 0")
    assert time.monotonic() - began < 1
    for connection in held:
        connection.close()
