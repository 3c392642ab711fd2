"""Ask Docker which containers run, over its socket, where the root worker is given one.

Owns one request, `GET /containers/json`, and the reading of its answer. It asks nothing else and changes
nothing: whoever may write to that socket is root. The answer is bounded in time and size and taken apart with
care; containers choose their names and labels themselves.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from dockerfw.host.runner import CommandFailed
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.surroundings import (
    CONTAINER_ID,
    MAX_CONTAINER_PORTS,
    MAX_CONTAINERS,
    MAX_NAME,
    Container,
    ContainerPort,
)

SECONDS = 3.0
MAX_BYTES = 8 * 1024 * 1024
# HTTP/1.0: the answer ends with the connection and is never in chunks.
_REQUEST = b"GET /containers/json HTTP/1.0\r\nHost: docker\r\n\r\n"
_CHUNK = 1 << 16

_PROJECT = ("com.docker.compose.project", "com.docker.stack.namespace")
_SERVICE = ("com.docker.compose.service", "com.docker.swarm.service.name")


def running_containers(path: Path) -> tuple[Container, ...] | CommandFailed:
    """Return the running containers, or why they are not known. Never raises."""
    words = ("GET", f"unix://{path}", "/containers/json")
    try:
        return _read(_ask(path))
    except (OSError, ValueError) as error:
        # MessageError is a ValueError: a path and a message, in words.
        return CommandFailed(words, f"did not work: {error}"[:2000], None, "")


def _ask(path: Path) -> bytes:
    """Return the body of Docker's answer. Raises OSError and ValueError."""
    deadline = time.monotonic() + SECONDS
    answer = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(_REQUEST)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no whole answer within {SECONDS:g} s")
            connection.settimeout(left)
            data = connection.recv(_CHUNK)
            if not data:
                break
            answer += data
            if len(answer) > MAX_BYTES:
                raise ValueError(f"the answer has more than {MAX_BYTES} bytes")
    head, found, body = bytes(answer).partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not found or len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
        raise ValueError(f"the answer is {head[:100].decode('ascii', 'replace')!r}")
    return body


def _read(body: bytes) -> tuple[Container, ...]:
    value = load_json(body, max_bytes=MAX_BYTES)
    if not isinstance(value, list):
        raise ValueError("the answer is not a list of containers")
    if len(value) > MAX_CONTAINERS:
        raise ValueError(f"{len(value)} containers run; at most {MAX_CONTAINERS} are taken")
    return tuple(_container(item) for item in value)


def _container(value: object) -> Container:
    item = _object(value)
    identifier = _word(item, "Id")[:12]
    if not CONTAINER_ID.fullmatch(identifier):
        raise MessageError("Id", "is not the id of a container")
    labels = _object(item.get("Labels"))
    return Container(
        id=identifier,
        name=_name(item, identifier),
        project=next(filter(None, (_word(labels, label) for label in _PROJECT)), ""),
        service=next(filter(None, (_word(labels, label) for label in _SERVICE)), ""),
        network_mode=_word(_object(item.get("HostConfig")), "NetworkMode"),
        addresses=tuple(dict.fromkeys(_addresses(item))),
        ports=tuple(dict.fromkeys(_ports(_list(item.get("Ports")))))[:MAX_CONTAINER_PORTS],
    )


def _name(item: Mapping[str, object], identifier: str) -> str:
    """Return the container's own name: `/db`, and not `/app/db`, which is a link to it."""
    names = [name for name in _list(item.get("Names")) if isinstance(name, str)]
    own = [name for name in names if name.count("/") == 1]
    return next(iter(own), identifier).lstrip("/")[:MAX_NAME]


def _addresses(item: Mapping[str, object]) -> Iterator[str]:
    networks = _object(_object(item.get("NetworkSettings")).get("Networks"))
    for network in list(networks.values())[:512]:
        for key in ("IPAddress", "GlobalIPv6Address"):
            yield from _address(_word(_object(network), key))


def _ports(values: Iterable[object]) -> Iterator[ContainerPort]:
    for value in values:
        item = _object(value)
        protocol, port = _word(item, "Type"), _port(item.get("PrivatePort"))
        if protocol not in ("tcp", "udp", "sctp") or port is None:
            raise MessageError("Ports", "holds what is not a port")
        address = next(_address(_word(item, "IP")), "")
        yield ContainerPort(protocol, port, _port(item.get("PublicPort")), address)


def _port(value: object) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 65535 else None


def _address(text: str) -> Iterator[str]:
    """Give an address in its usual spelling; nothing for any address and for what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return
    if not address.is_unspecified:
        yield str(address)


def _object(value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MessageError("", "the answer has something else where an object must be")
    return value


def _list(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MessageError("", "the answer has something else where a list must be")
    return value


def _word(item: Mapping[str, object], key: str) -> str:
    value = item.get(key, "")
    return value[:MAX_NAME] if isinstance(value, str) else ""
