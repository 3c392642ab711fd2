"""The Docker of the sandbox: `python -m scripts.stack.made_up_docker PARENT DESCRIPTOR` answers on a socket.

It lists the containers of the made-up shop, so that rules can name them. It starts nothing and follows no
change: nothing happens to a container that is only made up.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.stack.lifetime import end_with
from scripts.stack.shop import CONTAINERS, NETWORKS, Container, Network

SOCKET: Final = "made-up-docker.sock"
# sockaddr_un holds 108 bytes with the closing zero (unix(7)).
SOCKET_PATH_MAX: Final = 107


def describe_container(container: Container) -> dict[str, object]:
    """Return a container as Docker lists it."""
    network = container.network.name
    return {
        "Id": _identifier(container.name),
        "Names": [f"/{container.name}"],
        "Labels": {
            "com.docker.compose.project": container.project,
            "com.docker.compose.service": container.service,
            **container.labels,
        },
        "HostConfig": {"NetworkMode": network},
        "NetworkSettings": {"Networks": {network: {"IPAddress": container.address}}},
        "Ports": [
            *(
                {
                    "IP": port.address or "0.0.0.0",  # noqa: S104
                    "PublicPort": port.published,
                    "PrivatePort": port.inside,
                    "Type": "tcp",
                }
                for port in container.ports
            ),
            *({"PrivatePort": port, "Type": "tcp"} for port in container.exposed),
        ],
    }


def describe_network(network: Network) -> dict[str, object]:
    """Return a network as Docker lists it."""
    return {"Name": network.name, "Id": _identifier(network.name), "Driver": "bridge", "Options": {}}


def _identifier(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


ANSWERS: Final[dict[bytes, object]] = {
    b"/containers/json": [describe_container(each) for each in CONTAINERS],
    b"/networks": [describe_network(each) for each in NETWORKS],
    b"/version": {"Version": "20.10.24"},
}


def made_up_socket(state: Path) -> Path | None:
    """Return the path of the sandbox's socket, None where the folder's path is too long for one."""
    path = state / SOCKET
    return path if len(bytes(path)) <= SOCKET_PATH_MAX else None


def start_made_up_docker(state: Path) -> None:
    """Serve in a process that ends with this one; clients can connect when this returns."""
    path = made_up_socket(state)
    if path is None:
        return
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o600)
        server.listen()
        number = server.fileno()
        served = subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid()), str(number)],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
        )
    # It keeps running after exec(), and ends with the command.
    served.returncode = 0


def main(arguments: Sequence[str]) -> int:
    """Answer until the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, number = map(int, arguments)
    end_with(parent)
    with socket.socket(fileno=number) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        words = connection.recv(1 << 16).split(b" ", 2)
        resource = words[1].partition(b"?")[0] if len(words) == 3 else b""
        if resource == b"/events":
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            # Until the client closes it.
            connection.recv(1)
        elif resource in ANSWERS:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(ANSWERS[resource]).encode())
        else:
            connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
