"""UDP as a client sees it: a server that sends back what it gets, and flows that ask it."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

from tests.rig.namespace import Namespace


@contextlib.contextmanager
def echoing(inside: AbstractContextManager[None], address: str, port: int) -> Iterator[socket.socket]:
    """Have a UDP server for a `with` block; `inside` enters its network."""
    with inside:
        server = _socket(address)
        server.bind((address, port))
    # It looks for its end now and then.
    server.settimeout(0.2)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            # A client that has gone is an error of the next call.
            with contextlib.suppress(OSError):
                data, client = server.recvfrom(2048)
                server.sendto(data, client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        thread.join(10)
        server.close()


def flow(
    namespace: Namespace, address: str, port: int, *, source: str = "", seconds: float = 2
) -> socket.socket:
    """Return a UDP socket of a namespace that is connected to a server."""
    with namespace.entered():
        opened = _socket(address)
    opened.settimeout(seconds)
    if source:
        opened.bind((source, 0))
    opened.connect((address, port))
    return opened


def answers(opened: socket.socket) -> bool:
    """Return True if a flow gets the answer to what it sends now."""
    # An answer to an earlier question is none to this one.
    wanted = secrets.token_bytes(16)
    with contextlib.suppress(OSError):
        opened.send(wanted)
        while (answer := opened.recv(2048)) != wanted:
            assert len(answer) == len(wanted)
        return True
    return False


def _socket(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
