"""The sets of feeds, DNS names and countries as a load would find them, for the simulation of a document.

What a list stands for is known to `rules.lists`, on a higher floor, which registers its reader here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dockerfw.chains.bound_sets import bound_set
from dockerfw.chains.group_sets import bound_set_name, group_definition
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.simulation.surroundings import IpSet, Surroundings

Networks = Mapping[Family, tuple[str, ...]]
ListReader = Callable[[str, tuple[str, ...]], Mapping[str, Networks]]
"""Takes a host's name and definitions; returns the networks of these lists, none before the first fetch."""

_readers: list[ListReader] = []


def register_list_reader(reader: ListReader) -> None:
    """Ask this function for the networks of lists from now on."""
    _readers[:] = [reader]


def list_set_names(document: Document) -> tuple[str, ...]:
    """Return the names of the sets of a document's lists, of both families."""
    return tuple(bound_set_name(one, family) for one in _definitions(document) for family in FAMILIES)


def list_marks(document: Document, host: str) -> tuple[tuple[str, int], ...]:
    """Return a mark for the networks of each list of a document, which changes with them."""
    lists = _definitions(document)
    if not lists or not _readers:
        return ()
    found = _readers[0](host, lists)
    return tuple((one, hash((found[one][4], found[one][6]))) for one in lists)


def with_list_sets(around: Surroundings, document: Document, host: str) -> Surroundings:
    """Return the surroundings with the sets of a document's lists that the kernel does not hold yet.

    A list that was never fetched is an empty set: nothing is allowed or blocked by it.
    """
    missing = tuple(
        one
        for one in _definitions(document)
        if any(bound_set_name(one, family) not in around.sets for family in FAMILIES)
    )
    if not missing or not _readers:
        return around
    sets = dict(around.sets)
    for definition, networks in _readers[0](host, missing).items():
        for family in FAMILIES:
            known = bound_set(bound_set_name(definition, family))
            sets.setdefault(known.name, IpSet(known.name, known.type, networks[family], known.options))
    return replace(around, sets=sets)


def _definitions(document: Document) -> tuple[str, ...]:
    """Return the definitions of a document's lists, sorted, each once."""
    return tuple(sorted({group_definition(group) for group in document.groups if group.kind != "static"}))
