"""Floods from clients without an account, while an admin keeps a change from its page."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.browser.stack import Stack
from tests.rig.namespace import wait_until, why_unavailable
from tests.rig.visitor import Visitor

pytestmark = pytest.mark.kernel
PASSWORD = "correct horse battery staple"
REVIEW = "/hosts/local/review/"
STYLES = b"GET /static/rules/pages/dockerfw.css HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A run of scripts/run with its first admin, alice."""
    if reason := why_unavailable():
        pytest.skip(reason)
    started = Stack()
    yield started
    started.delete()


@pytest.fixture(scope="module")
def alice(stack: Stack) -> Visitor:
    """An admin, signed in, whose draft has the external interface of the sandbox."""
    alice = Visitor(stack.address)
    setup = stack.setup_link.removeprefix(stack.address)
    assert alice.get(setup) == 200
    alice.submit(setup, username="alice", password1=PASSWORD, password2=PASSWORD)
    assert "alice" in alice.page
    return alice


class Flood:
    """Connections that a stranger holds open, and the sign-ins that are in flight."""

    def __init__(self, address: str) -> None:
        self.port = int(address.rpartition(":")[2])
        self.sockets: list[socket.socket] = []
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []
        visitor = Visitor(address)
        visitor.get("/sign-in/")
        self.sign_in = visitor

    def hold(self, count: int, first: bytes, more: bytes = b"") -> None:
        """Open connections that send `first`, then slowly `more`. What the server closes is opened again."""
        thread = threading.Thread(target=self._hold, args=(count, first, more), daemon=True)
        self.threads.append(thread)
        thread.start()

    def sign_ins(self, count: int) -> None:
        """Keep so many wrong sign-ins in flight."""
        for number in range(count):
            thread = threading.Thread(target=self._sign_in, args=(number,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Close everything, without waiting for the last answers."""
        self.over.set()
        for thread in self.threads:
            thread.join(0.2)

    def _hold(self, count: int, first: bytes, more: bytes) -> None:
        held = [self._open(first) for _ in range(count)]
        while not self.over.wait(0.5):
            for place, connection in enumerate(held):
                try:
                    connection.send(more)
                    if connection.recv(1, socket.MSG_DONTWAIT) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    continue
                except OSError:
                    connection.close()
                    held[place] = self._open(first)
        for connection in held:
            connection.close()

    def _open(self, first: bytes) -> socket.socket:
        connection = socket.socket()
        with contextlib.suppress(OSError):
            connection.settimeout(2)
            connection.connect(("127.0.0.1", self.port))
            connection.sendall(first)
        return connection

    def _sign_in(self, number: int) -> None:
        visitor = Visitor(self.sign_in.address, seconds=60)
        # The pause leaves this process time for the admin.
        while not self.over.wait(0.3):
            with contextlib.suppress(OSError):
                visitor.get("/sign-in/")
                visitor.submit("/sign-in/", username=f"stranger{number}", password="not the password")


def slow_body(length: int) -> bytes:
    """Return the beginning of a form whose body never ends."""
    head = f"POST /sign-in/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
    return head.encode() + b"Content-Type: application/x-www-form-urlencoded\r\n\r\nusername="


FLOODS: dict[str, Callable[[Flood], None]] = {
    "idle connections": lambda flood: flood.hold(200, b""),
    "half headers": lambda flood: flood.hold(200, b"GET / HTTP/1.1\r\nHost: loc", b"a"),
    "slow bodies": lambda flood: flood.hold(200, slow_body(50_000), b"a"),
    "answers that nobody reads": lambda flood: flood.hold(200, STYLES),
    "sign-ins": lambda flood: flood.sign_ins(80),
}


def keep_a_change(alice: Visitor, port: int) -> bool:
    """Apply a rule with a window of 15 s and keep it from its page; False if the window ended before."""

    def page_says(*states: str) -> bool:
        assert alice.get(applied) == 200, alice.page
        return any(f'data-state="{state}"' in alice.page for state in states)

    applied = apply_a_rule(alice, port)
    wait_until("the window", 60, lambda: page_says("awaiting", "rolled_back"))
    if alice.get(f"{applied}keep/") == 200 and 'name="nonce"' in alice.page:
        alice.submit(f"{applied}keep/")
    wait_until("the end", 60, lambda: page_says("confirmed", "rolled_back"))
    return page_says("confirmed")


def apply_a_rule(alice: Visitor, port: int) -> str:
    """Add a rule, apply the draft with a window of 15 s, and return the path of the apply's page."""
    alice.get("/hosts/local/rules/new/")
    rule = {"scope": "host", "protocol": "tcp", "port_kind": "published", "ports": str(port), "enabled": "on"}
    alice.submit("/hosts/local/rules/new/", **rule)
    alice.get(REVIEW)
    alice.submit(REVIEW, message="Under attack", window="15")
    assert "/applies/" in alice.url, alice.page
    return alice.url.removeprefix(alice.address)


def test_a_window_of_15_seconds_is_kept_from_the_page(stack: Stack, alice: Visitor) -> None:
    flood = Flood(stack.address)
    for start in FLOODS.values():
        start(flood)
    time.sleep(3)
    try:
        # One machine runs the attack, the sandbox, the pages and other tests. Busy, it may miss a window.
        kept = any(keep_a_change(alice, port) for port in (9000, 9001, 9002))
    finally:
        flood.end()
    assert kept
    log = next(stack.data.rglob("log/web.log")).read_text()
    assert log.count("Booting worker") == 1
    assert "Traceback" not in log
