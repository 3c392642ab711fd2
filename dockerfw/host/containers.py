"""The running containers, as Docker lists them, where the root worker is given Docker's socket.

The answer is not trusted: containers choose their names and labels themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from dockerfw.document.container_labels import label_text
from dockerfw.host.docker import MAX_BYTES, DockerError, get_from_docker
from dockerfw.host.runner import CommandFailed
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.surroundings import (
    CONTAINER_ID,
    MAX_CONTAINER_PORTS,
    MAX_CONTAINERS,
    MAX_LABELS,
    MAX_NAME,
    Container,
    ContainerPort,
)

_RESOURCE = "/containers/json"
_PROJECT = ("com.docker.compose.project", "com.docker.stack.namespace")
_SERVICE = ("com.docker.compose.service", "com.docker.swarm.service.name")


def list_containers(path: Path) -> tuple[Container, ...] | CommandFailed:
    """Return the running containers, or the reason why they are unknown. Never raises."""
    try:
        return _read(get_from_docker(path, _RESOURCE))
    except (DockerError, MessageError) as error:
        words = ("GET", f"unix://{path}", _RESOURCE)
        return CommandFailed(words, f"failed: {error}"[:2000], None, "")


def _read(body: bytes) -> tuple[Container, ...]:
    value = load_json(body, max_bytes=MAX_BYTES)
    if not isinstance(value, list):
        raise MessageError("", "the answer is not a list of containers")
    if len(value) > MAX_CONTAINERS:
        raise MessageError("", f"{len(value)} containers run; at most {MAX_CONTAINERS} are read")
    return tuple(_container(item) for item in value)


def _container(value: object) -> Container:
    item = _object(value)
    identifier = _word(item, "Id")[:12]
    if not CONTAINER_ID.fullmatch(identifier):
        raise MessageError("Id", "is not a container id")
    labels = _object(item.get("Labels"))
    return Container(
        id=identifier,
        name=_name(item, identifier),
        project=next(filter(None, (_word(labels, label) for label in _PROJECT)), ""),
        service=next(filter(None, (_word(labels, label) for label in _SERVICE)), ""),
        network_mode=_word(_object(item.get("HostConfig")), "NetworkMode"),
        addresses=tuple(dict.fromkeys(_addresses(item))),
        ports=_read_ports(item),
        labels=tuple(sorted(_labels(labels)))[:MAX_LABELS],
    )


def _labels(labels: Mapping[str, object]) -> Iterator[str]:
    """Yield what a rule can name of the labels; other values may be secrets."""
    for key, value in labels.items():
        if isinstance(value, str) and (text := label_text(key, value)):
            yield text


def _read_ports(item: Mapping[str, object]) -> tuple[ContainerPort, ...]:
    found = tuple(dict.fromkeys(_ports(_list(item.get("Ports")))))
    if len(found) > MAX_CONTAINER_PORTS:
        text = f"a container has {len(found)} ports; at most {MAX_CONTAINER_PORTS} are read"
        raise MessageError("Ports", text)
    return found


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
            raise MessageError("Ports", "contains an invalid port")
        address = next(_address(_word(item, "IP")), "")
        yield ContainerPort(protocol, port, _port(item.get("PublicPort")), address)


def _port(value: object) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 65535 else None


def _address(text: str) -> Iterator[str]:
    """Yield an address in its usual spelling, and nothing for 0.0.0.0, :: and other text."""
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
        raise MessageError("", "the answer has something else where an object is expected")
    return value


def _list(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MessageError("", "the answer has something else where a list is expected")
    return value


def _word(item: Mapping[str, object], key: str) -> str:
    value = item.get(key, "")
    return value[:MAX_NAME] if isinstance(value, str) else ""
