"""Find containers and ports of a host in its last snapshot, by words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.document.words import join_words
from dockerfw.reach.listening import Listening
from rules.seen.listening_selectors import listening_of
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

_MOST_NAMED: Final = 3
_known: Final = Memory[tuple["Place", ...]](4)


@dataclass(frozen=True, slots=True)
class Place:
    """A container, or a port on which something answers. `words` is what is searched, in one case."""

    name: str
    detail: str
    words: str


def find_containers(view: SnapshotView, words: list[str]) -> list[Place]:
    """Return the running containers that have every word, those that begin with the first before others."""
    return _best(_places(view, "containers"), words)


def find_ports(view: SnapshotView, words: list[str]) -> list[Place]:
    """Return the ports that listen or are published and have every word; a number is a whole port."""
    return _best(_places(view, "ports"), [word.removeprefix("port:") for word in words])


def _best(places: tuple[Place, ...], words: list[str]) -> list[Place]:
    found = [place for place in places if all(_has(place, word) for word in words)]
    return sorted(found, key=lambda place: not place.name.casefold().startswith(words[0]))


def _has(place: Place, word: str) -> bool:
    return place.name.startswith(f"{word}/") if word.isdigit() else word in place.words


def _places(view: SnapshotView, kind: str) -> tuple[Place, ...]:
    key = (view.snapshot.host, view.snapshot.taken_at, kind)
    read = _containers if kind == "containers" else _ports
    return _known.get_or_compute(key, lambda: tuple(read(listening_of(view))))


def _containers(found: Listening) -> Iterator[Place]:
    for each in found.containers or ():
        ports = sorted({f"{port.port}/{port.protocol}" for port in each.publications})
        published = f"publishes {join_words(ports, most=_MOST_NAMED)}" if ports else "publishes no port"
        name = each.compose_name or each.name
        detail = f"{each.name}, {published}" if name != each.name else published
        yield Place(
            name, detail, " ".join((name, each.name, *each.labels, *map(str, each.addresses))).casefold()
        )


def _ports(found: Listening) -> Iterator[Place]:
    behind: dict[tuple[int, str], set[str]] = {}
    for listener in found.listeners:
        program = listener.unit or listener.process
        behind.setdefault((listener.port, listener.protocol), set()).update([program] if program else [])
    for published in found.published:
        names = behind.setdefault((published.port, published.protocol), set())
        names.add(f"published, leads to {published.to_address}:{published.to_port}")
    for container in found.containers or ():
        for port in container.publications:
            names = behind.setdefault((port.port, port.protocol), set())
            names.add(f"container {container.compose_name or container.name}")
    for (number, protocol), names in sorted(behind.items()):
        detail = join_words(sorted(names), most=_MOST_NAMED)
        name = f"{number}/{protocol}"
        yield Place(name, detail, f"{name} {' '.join(sorted(names))}".casefold())
