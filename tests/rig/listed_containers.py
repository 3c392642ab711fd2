"""A socket that answers as Docker does with a list of containers, which a test changes, and tells events."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Any

from tests.rig.namespace import PATIENCE


def listed(
    name: str, address: str, *ports: tuple[int, int], at: str = "0.0.0.0", **labels: str
) -> dict[str, Any]:
    """Return a container as Docker lists it; `ports` are pairs of a published port and the one inside."""
    return {
        "Id": name.encode().hex().ljust(64, "0"),
        "Names": [f"/{name}"],
        "Labels": labels,
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": address, "GlobalIPv6Address": ""}}},
        "Ports": [
            {"IP": at, "PublicPort": public, "PrivatePort": inside, "Type": "tcp"} for public, inside in ports
        ],
    }


class ListedContainers:
    """The server; `containers` is what it lists, None for an engine that does not answer in its way."""

    def __init__(self, path: Path, *containers: dict[str, Any]) -> None:
        self.containers: list[dict[str, Any]] | None = list(containers)
        self._following: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                if b"/events" in connection.recv(65536):
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                    self._following.append(connection)
                    continue
                with connection, contextlib.suppress(OSError):
                    known = self.containers
                    status = b"200 OK" if known is not None else b"503 no"
                    connection.sendall(b"HTTP/1.0 " + status + b"\r\n\r\n" + json.dumps(known or []).encode())

    @property
    def is_followed(self) -> bool:
        """True if a client follows the events."""
        return bool(self._following)

    def tell(self) -> None:
        """Send an event to all that follow."""
        for each in self._following:
            with contextlib.suppress(OSError):
                each.sendall(b"{}\n")

    def close(self) -> None:
        """End the server and what follows it."""
        # A thread that still accepts would serve the next socket with the same descriptor.
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        for each in (self._server, *self._following):
            each.close()
