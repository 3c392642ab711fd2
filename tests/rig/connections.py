"""What a client sees: real connections between the lab's namespaces, opened from this process.

A thread enters a namespace, opens its socket there and comes back; the socket stays inside.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator
from typing import Literal

from tests.rig.namespace import PATIENCE, Namespace, entering

# What became of an attempt to connect: "prohibited" is the refusal of a firewall that rejects, "closed" the
# reset of a host without a listener, "silent" no answer at all within the time.
Verdict = Literal["connected", "prohibited", "closed", "silent"]

_VERDICTS: dict[int, Verdict] = {
    errno.EHOSTUNREACH: "prohibited",
    errno.EACCES: "prohibited",
    errno.ECONNREFUSED: "closed",
    errno.ECONNRESET: "closed",
}


def connect(
    place: Namespace | str, address: str, port: int, *, source: str | None = None, seconds: float = 2
) -> socket.socket:
    """Open a TCP connection from a namespace (or its file), from `source` if given.

    Raises OSError as `connect` does, after `seconds` TimeoutError. The kernel alone answers that. What a
    program answers over the connection may take longer.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entering(place) if isinstance(place, str) else place.entered():
        connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        if source is not None:
            connection.bind((source, 0))
        connection.connect((address, port))
        connection.settimeout(PATIENCE)
    except BaseException:
        connection.close()
        raise
    return connection


def try_port(
    namespace: Namespace, address: str, port: int, *, source: str | None = None, seconds: float = 1.5
) -> Verdict:
    """Tell what becomes of a connection to a port."""
    try:
        connect(namespace, address, port, source=source, seconds=seconds).close()
    except TimeoutError:
        return "silent"
    except OSError as error:
        verdict = _VERDICTS.get(error.errno or 0)
        if verdict is None:
            raise
        return verdict
    return "connected"


def ask(connection: socket.socket, line: str = "GET / HTTP/1.0\r\n\r\n") -> str:
    """Send a line over an open connection and return the answer's last line."""
    connection.sendall(line.encode())
    received = b""
    while chunk := connection.recv(4096):
        received += chunk
        if received.endswith(b"\n") and b"\r\n\r\n" not in received:
            break
    return received.decode().strip().splitlines()[-1]


def fetch(
    place: Namespace | str,
    address: str,
    port: int,
    *,
    source: str | None = None,
    line: str = "GET / HTTP/1.0\r\n\r\n",
) -> str:
    """Return the last line that a web server answers; "" when it answers nothing or cannot be reached."""
    try:
        with connect(place, address, port, source=source) as connection:
            # Who waits for a server tries again, as one that is stopped just now never answers.
            connection.settimeout(PATIENCE / 3)
            return ask(connection, line)
    except (OSError, IndexError):
        return ""


def ping(namespace: Namespace, address: str, *, source: str | None = None) -> bool:
    """Tell whether an address answers one ICMP echo request within a second."""
    command = ["busybox", "ping6" if ":" in address else "ping", "-c", "1", "-W", "1"]
    options = ["-I", source] if source is not None else []
    return namespace.run(*command, *options, address, check=False).returncode == 0


class Listener:
    """A TCP server in a namespace: it answers each line with its name and the address that asked."""

    def __init__(self, namespace: Namespace, address: str, port: int, name: str = "listener") -> None:
        """Start to listen."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with namespace.entered():
            self._socket = socket.create_server((address, port), family=family)
        self._name = name
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, peer = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._answer, args=(connection, str(peer[0])), daemon=True).start()

    def _answer(self, connection: socket.socket, peer: str) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(PATIENCE)
            while connection.recv(4096):
                connection.sendall(f"{self._name} {peer}\n".encode())

    def speak(self, line: str) -> None:
        """Send a line to every client unasked."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.sendall(line.encode())

    def close(self) -> None:
        """Stop to listen; open connections go on until their client ends them."""
        # Without the shutdown, accept() in the other thread keeps the socket open.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextlib.contextmanager
def listening(namespace: Namespace, address: str, port: int, name: str = "listener") -> Iterator[Listener]:
    """Have a Listener for a `with` block."""
    listener = Listener(namespace, address, port, name)
    try:
        yield listener
    finally:
        listener.close()
