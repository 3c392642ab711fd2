"""The client of Docker's API: one GET request over its Unix socket, bounded in time and size.

It only reads, although write access to that socket is as good as root. What containers name themselves is
read with care in `dockerfw.host.containers`.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from dockerfw.host.errors import HostError

SECONDS = 3.0
MAX_BYTES = 8 * 1024 * 1024
_CHUNK = 1 << 16


class DockerError(HostError):
    """Docker did not answer, or its answer cannot be used."""


def get_from_docker(path: Path, resource: str) -> bytes:
    """Return the body of Docker's answer to `GET resource`. Raises DockerError."""
    # HTTP/1.0: the answer ends with the connection and is never in chunks.
    request = f"GET {resource} HTTP/1.0\r\nHost: docker\r\n\r\n".encode("ascii")
    try:
        answer = _exchange(path, request)
    except OSError as error:
        raise DockerError(str(error)) from None
    head, found, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not found or len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
        raise DockerError(f"the answer is {head[:100].decode('ascii', 'replace')!r}")
    return body


def _exchange(path: Path, request: bytes) -> bytes:
    deadline = time.monotonic() + SECONDS
    answer = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(request)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no whole answer within {SECONDS:g} s")
            connection.settimeout(left)
            data = connection.recv(_CHUNK)
            if not data:
                return bytes(answer)
            answer += data
            if len(answer) > MAX_BYTES:
                raise DockerError(f"the answer has more than {MAX_BYTES} bytes")
