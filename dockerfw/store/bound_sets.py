"""The record of the bound sets: what they were filled with last, and why that fails.

While its file exists, the root worker keeps a binder, which fills the sets. An apply writes it before it
creates the first set, and the binder removes it when no revision needs a set any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from dockerfw.chains.bound_sets import bound_sets_of, is_bound_set
from dockerfw.chains.container_sets import ContainerSet, Definitions
from dockerfw.host.clock import boot_id, boottime
from dockerfw.host.files import locked, read_bounded, remove_durably, write_durably
from dockerfw.iptables.model import FAMILIES
from dockerfw.messages.codec import Absent, AtMost
from dockerfw.messages.shapes import BootId, EntriesNamed, InterfaceName, Seconds, Text
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.records import StateError, StateFile
from dockerfw.store.sentences import BINDER_SILENT
from dockerfw.store.state import StateDirectory

FILE = "bound.json"
LOCK = "bound.lock"
MAX_BYTES = 16 * 1024 * 1024
MAX_DEFINITION = 1024 * 1024
# A whole look is due every minute.
SILENT_SECONDS = 200.0


@dataclass(frozen=True, slots=True)
class BoundRecord(StateFile):
    """What the bound sets were filled with: a digest of the members by set.

    `looked` is the time of the last whole look, by CLOCK_BOOTTIME of the boot `boot`. `external` are the
    external interfaces of the document that was loaded last, and `asked` the definitions of the sets for its
    rules by name. `problem` says why sets cannot be filled, since `failing`; it is empty while they can.
    `told` is the time of the last event about contents that another program had changed.
    """

    FORMAT: ClassVar = "dockerfw-bound/1"
    MAX_BYTES: ClassVar = MAX_BYTES

    boot: BootId
    looked: Seconds
    external: Annotated[tuple[InterfaceName, ...], AtMost(4096)] = ()
    held: Annotated[Mapping[str, str], EntriesNamed(is_bound_set, Text(64))] = field(default_factory=dict)
    problem: Annotated[str, Text(2000), Absent.ALLOWED] = ""
    failing: Annotated[Seconds, Absent.ALLOWED] = 0.0
    told: Annotated[Seconds, Absent.ALLOWED] = 0.0
    asked: Annotated[
        Mapping[str, str], EntriesNamed(is_bound_set, Text(MAX_DEFINITION)), Absent.WHEN_EMPTY
    ] = field(default_factory=dict)

    @property
    def definitions(self) -> Definitions:
        """What the container sets of the document that was loaded last stand for."""
        read = {name: ContainerSet.from_text(text) for name, text in self.asked.items()}
        return {name: each for name, each in read.items() if each is not None}

    def for_document(self, external: Iterable[str], definitions: Definitions) -> BoundRecord:
        """Return the record after a document with these external interfaces and rules by name is prepared."""
        asked = {name: each.to_text() for name, each in definitions.items()}
        return replace(self, external=tuple(external), asked=asked)


def bound_lock(state: StateDirectory, *, seconds: float) -> AbstractContextManager[int]:
    """Hold the lock of those who fill the bound sets, so that the newest look is the last to fill them.

    Raises LockHeld and OSError.
    """
    return locked(state.path / LOCK, seconds=seconds)


def has_bound_record(state: StateDirectory) -> bool:
    """Return True if there may be bound sets to fill or to destroy."""
    return (state.path / FILE).exists()


def read_bound_record(state: StateDirectory) -> BoundRecord:
    """Return the record of this boot; a new one without one, or where it cannot be read. Raises OSError."""
    raw = read_bounded(state.path / FILE, most=MAX_BYTES)
    new = BoundRecord(boot_id(), boottime())
    if raw is None:
        return new
    try:
        record = BoundRecord.from_bytes(raw, FILE)
    except StateError:
        # At worst a set is filled again with what it holds.
        return new
    # Since the boot nothing has looked.
    return (
        record if record.boot == new.boot else BoundRecord(new.boot, 0.0, record.external, asked=record.asked)
    )


def write_bound_record(state: StateDirectory, record: BoundRecord) -> None:
    """Store the record durably. Raises OSError."""
    write_durably(state.path / FILE, record.to_bytes())


def remove_bound_record(state: StateDirectory) -> None:
    """Remove the record, because no set is needed any more. Raises OSError."""
    remove_durably(state.path / FILE)


def sets_of_confirmed(confirmed: ConfirmedRecord | None) -> tuple[str, ...]:
    """Return the bound sets that the confirmed revision needs, as it was loaded. Raises UnknownSet.

    A record without the loaded rules names none. The kernel keeps what its rules use anyway.
    """
    loaded = confirmed.loaded.values() if confirmed else ()
    return bound_sets_of(rendering.to_text() for rendering in loaded)


def may_need_sets(confirmed: ConfirmedRecord | None) -> bool:
    """Return True if the confirmed revision needs bound sets, or will after a boot. Raises UnknownSet.

    The boot files of a record without the loaded rules, such as one from a backup, are rendered today.
    """
    if confirmed is None:
        return False
    return bool(bound_sets_of(confirmed.rendering(family).to_text() for family in FAMILIES))


def digest_of_members(members: Iterable[str]) -> str:
    """Return a digest of the members of one set."""
    return hashlib.sha256("\n".join(sorted(members)).encode("utf-8", "replace")).hexdigest()


def describe_binder_problem(state: StateDirectory) -> str:
    """Return why the bound sets may not hold what the host shows, empty where they do or none is needed."""
    if not has_bound_record(state):
        return ""
    try:
        record = read_bound_record(state)
    except OSError as error:
        return str(error)[:2000]
    silent = boottime() - record.looked
    return BINDER_SILENT.format(seconds=silent) if silent > SILENT_SECONDS else record.problem
