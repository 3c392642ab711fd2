"""Writes a file in MaxMind's format: the search tree of networks, and records that have a country's code.

The format is described at https://maxmind.github.io/MaxMind-DB/.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

MARK = b"\xab\xcd\xefMaxMind.com"
# The bytes of the numbers that have more than two.
NUMBERS = {"node_count": 4, "build_epoch": 8}
Node = list["Node | str | None"]


def write_country_file(path: Path, countries: Mapping[str, str]) -> None:
    """Write the countries' codes by network; IPv4 networks are below ::/96."""
    root: Node = [None, None]
    for text, code in countries.items():
        network = ip_network(text)
        shift = 96 if network.version == 4 else 0
        _insert(root, int(network.network_address), network.prefixlen + shift, code)
    nodes: list[Node] = []
    _number(root, nodes)
    numbers = {id(node): number for number, node in enumerate(nodes)}
    data, places = b"", {}
    for code in sorted(set(countries.values())):
        places[code] = len(data)
        data += _map({"country": {"iso_code": code}})

    def record(child: Node | str | None) -> bytes:
        if child is None:
            return len(nodes).to_bytes(4, "big")
        if isinstance(child, str):
            return (len(nodes) + 16 + places[child]).to_bytes(4, "big")
        return numbers[id(child)].to_bytes(4, "big")

    tree = b"".join(record(node[0]) + record(node[1]) for node in nodes)
    metadata = _map(
        {
            "node_count": len(nodes),
            "record_size": 32,
            "ip_version": 6,
            "database_type": "Test-Country",
            "binary_format_major_version": 2,
            "binary_format_minor_version": 0,
            "build_epoch": 1,
            "languages": ["en"],
            "description": {"en": "test"},
        }
    )
    path.write_bytes(tree + bytes(16) + data + MARK + metadata)


def _insert(root: Node, value: int, depth: int, code: str) -> None:
    node = root
    for place in range(depth - 1):
        bit = value >> (127 - place) & 1
        if not isinstance(node[bit], list):
            node[bit] = [None, None]
        following = node[bit]
        assert isinstance(following, list)
        node = following
    node[value >> (128 - depth) & 1] = code


def _number(node: Node, nodes: list[Node]) -> None:
    nodes.append(node)
    for child in node:
        if isinstance(child, list):
            _number(child, nodes)


def _map(values: Mapping[str, object]) -> bytes:
    parts = (_text(key) + _value(item, NUMBERS.get(key, 2)) for key, item in values.items())
    return bytes([7 << 5 | len(values)]) + b"".join(parts)


def _value(value: object, size: int = 0) -> bytes:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        # uint16, uint32, and uint64, which is an extended type.
        head = {2: bytes([5 << 5 | 2]), 4: bytes([6 << 5 | 4]), 8: bytes([8, 2])}[size]
        return head + value.to_bytes(size, "big")
    if isinstance(value, list):
        return bytes([len(value), 4]) + b"".join(map(_value, value))
    assert isinstance(value, dict)
    return _map(value)


def _text(text: str) -> bytes:
    raw = text.encode()
    assert len(raw) < 285
    if len(raw) < 29:
        return bytes([2 << 5 | len(raw)]) + raw
    return bytes([2 << 5 | 29, len(raw) - 29]) + raw
