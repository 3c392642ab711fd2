"""The lists of a host in its state directory: parts that arrive, and the last lists that were accepted.

The accepted ones outlive the dashboard, Redis and a boot. What a file says is checked again when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Final

from dockerfw.chains.boot import LISTS as FOLDER
from dockerfw.chains.boot import LISTS_ENDING as BOOT_ENDING
from dockerfw.chains.group_sets import bound_set_name, render_group_set
from dockerfw.chains.list_entries import (
    MOST_BYTES,
    ListRefused,
    NetworkList,
    digest_of_list,
    parse_list,
)
from dockerfw.chains.list_entries import NO_NETWORKS as NOTHING
from dockerfw.host.files import locked, make_directory, read_bounded, remove_durably, write_durably
from dockerfw.iptables.model import FAMILIES
from dockerfw.messages.codec import Absent, AtMost
from dockerfw.messages.errors import MessageError
from dockerfw.messages.list_orders import (
    MOST_LISTS,
    MOST_PACKED,
    MOST_PARTS,
    PART_CHARACTERS,
    BoundList,
    ListPart,
    join_parts,
)
from dockerfw.messages.shapes import Count, Text
from dockerfw.store.records import StateError, StateFile
from dockerfw.store.sentences import LIST_CHANGED, LIST_INCOMPLETE, LIST_PARTS_FULL, LIST_WRONG
from dockerfw.store.state import StateDirectory

RECORD: Final = "lists.json"
LOCK: Final = "lists.lock"
MOST_PART_FILES: Final = 4 * MOST_PARTS

_PART_NAME = re.compile(r"[0-9a-f]{64}\.[0-9]{1,2}\.part", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListRecord(StateFile):
    """The lists that were accepted last, and the number of the order.

    `problem` says why a later order was not carried out, empty when there was none.
    """

    FORMAT: ClassVar = "dockerfw-bound-lists/1"
    MAX_BYTES: ClassVar = 1024 * 1024

    sequence: Count = 0
    lists: Annotated[tuple[BoundList, ...], AtMost(MOST_LISTS)] = ()
    problem: Annotated[str, Text(2000), Absent.ALLOWED] = ""


def lists_lock(state: StateDirectory, *, seconds: float) -> AbstractContextManager[int]:
    """Hold the lock of those who change lists and their sets. Raises LockHeld and OSError."""
    return locked(state.path / LOCK, seconds=seconds)


def read_list_record(state: StateDirectory) -> ListRecord:
    """Return the lists that were accepted last. Raises StateError and OSError."""
    raw = read_bounded(state.path / RECORD, most=ListRecord.MAX_BYTES)
    return ListRecord() if raw is None else ListRecord.from_bytes(raw, RECORD)


def note_list_problem(state: StateDirectory, problem: str) -> None:
    """Store why an order was not carried out, for the pages. Raises StateError and OSError."""
    record = replace(read_list_record(state), problem=problem[:2000])
    write_durably(state.path / RECORD, record.to_bytes())


def write_part(state: StateDirectory, part: ListPart) -> None:
    """Store a part of a list until its order arrives. Raises OSError, and StateError for too many."""
    folder = _folder(state)
    path = folder / f"{part.packed}.{part.part}.part"
    waiting = [one for one in folder.iterdir() if _PART_NAME.fullmatch(one.name)]
    if path not in waiting and len(waiting) >= MOST_PART_FILES:
        raise StateError(LIST_PARTS_FULL.format(most=MOST_PART_FILES))
    write_durably(path, part.text.encode("ascii"))


def gather_lists(state: StateDirectory, lists: Iterable[BoundList]) -> dict[str, NetworkList]:
    """Return what lists stand for by definition, from their files and from the parts that have arrived.

    Each is checked whole. Files of new lists are written, and nothing else changes. Raises StateError and
    OSError.
    """
    found = {}
    for one in lists:
        path = _folder(state) / f"{one.packed}.list"
        packed = read_bounded(path, most=MOST_PACKED)
        if packed is None or hashlib.sha256(packed).hexdigest() != one.packed:
            packed = _join(state, one)
            found[one.definition] = _unpack(one, packed)
            write_durably(path, packed)
        else:
            found[one.definition] = _unpack(one, packed)
    return found


def keep_lists(state: StateDirectory, record: ListRecord, lists: Mapping[str, NetworkList]) -> None:
    """Note the lists as accepted, and remove the files of all others. Raises OSError.

    Each list is also stored as texts of ipset, which the boot script loads before the root worker runs.
    """
    write_durably(state.path / RECORD, record.to_bytes())
    kept = {f"{one.packed}.list" for one in record.lists}
    for definition, networks in lists.items():
        for family in FAMILIES:
            name = bound_set_name(definition, family)
            path = _folder(state) / f"{name}{BOOT_ENDING}"
            text = render_group_set(name, tuple(networks.texts(family))).encode("ascii")
            if not path.exists() or path.read_bytes() != text:
                write_durably(path, text)
            kept.add(path.name)
    for path in _folder(state).iterdir():
        if path.name not in kept:
            with contextlib.suppress(OSError):
                remove_durably(path)


def read_bound_list(state: StateDirectory, definition: str) -> NetworkList:
    """Return what a list stands for by the last order, empty without one. Raises StateError and OSError."""
    wanted = [one for one in read_list_record(state).lists if one.definition == definition]
    return gather_lists(state, wanted)[definition] if wanted else NOTHING


def _folder(state: StateDirectory) -> Path:
    folder = state.path / FOLDER
    make_directory(folder)
    return folder


def _join(state: StateDirectory, one: BoundList) -> bytes:
    parts = []
    for number in range(one.parts):
        path = _folder(state) / f"{one.packed}.{number}.part"
        raw = read_bounded(path, most=PART_CHARACTERS)
        if raw is None:
            raise StateError(
                LIST_INCOMPLETE.format(definition=one.definition, part=number + 1, parts=one.parts)
            )
        parts.append(raw.decode("ascii", "replace"))
    try:
        packed = join_parts(parts)
    except MessageError as error:
        raise StateError(LIST_WRONG.format(definition=one.definition, why=error)) from None
    if hashlib.sha256(packed).hexdigest() != one.packed:
        raise StateError(LIST_CHANGED.format(definition=one.definition))
    return packed


def _unpack(one: BoundList, packed: bytes) -> NetworkList:
    """Decompress and read a list; it must be exactly what the order says. Raises StateError."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(packed, MOST_BYTES)
        networks = parse_list(raw) if raw else NOTHING
    except (zlib.error, ListRefused) as error:
        raise StateError(LIST_WRONG.format(definition=one.definition, why=error)) from None
    if not stream.eof or stream.unused_data:
        raise StateError(LIST_CHANGED.format(definition=one.definition))
    # Canonical text only: then the digest tells all.
    if networks.to_text().encode() != raw or digest_of_list(raw.decode("ascii")) != one.digest:
        raise StateError(LIST_CHANGED.format(definition=one.definition))
    if any(networks.of(family).is_everything for family in (4, 6)):
        raise StateError(LIST_CHANGED.format(definition=one.definition))
    return networks
