"""Fills the sets of feeds, DNS names and countries from the dashboard's orders, and from the stored lists.

An order is taken as a whole: every list is checked before the first set is filled. A set is swapped, so that
rules never match a half filled one, and it is read back. What no list stands for is an empty set, which
allows nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable
from datetime import datetime

from dockerfw.bindings import sentences
from dockerfw.chains.group_sets import BOUND_GROUP_SET, bound_set_name
from dockerfw.chains.list_entries import NetworkList
from dockerfw.chains.list_judgement import find_misuse, uses_by_definition
from dockerfw.document.stored import read_stored
from dockerfw.document.values import Document
from dockerfw.host.bound_sets import destroy_bound_sets
from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld
from dockerfw.host.group_sets import count_members, fill_group_set, list_group_sets, read_group_set
from dockerfw.host.hooks import checkpoint
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.list_orders import BindLists, BoundList
from dockerfw.messages.orders import seconds_ahead, why_expired
from dockerfw.store.bound_lists import (
    ListRecord,
    gather_lists,
    keep_lists,
    lists_lock,
    read_bound_list,
    read_list_record,
)
from dockerfw.store.confirmed import ConfirmedRecord, read_confirmed
from dockerfw.store.set_changes import note_set_change
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.lists")

LOCK_SECONDS = 60.0
MOST_COMPARED = 100_000


class ListsRefused(HostError):  # noqa: N818 - it states a fact
    """An order about lists is not carried out; the text says why."""


def bind_lists(
    state: StateDirectory, order: BindLists, *, host: str, now: datetime, documents: Iterable[Document] = ()
) -> tuple[str, ...]:
    """Carry out an order whose sender is known, and return the names of the sets that were filled.

    All lists are stored, and the sets that exist are filled: an apply creates those that its rules need.
    `documents` are those whose rules use the sets now. Raises ListsRefused, SetsFailed, StateError, LockHeld
    and OSError. The lists of the former order stay in use then, but for sets that were filled already: the
    next order fills all again.
    """
    with lists_lock(state, seconds=LOCK_SECONDS):
        record = read_list_record(state)
        if order.host != host:
            raise ListsRefused(sentences.LISTS_OF_OTHERS.format(host=order.host))
        if expired := why_expired(order.issued_at, now):
            raise ListsRefused(expired)
        if seconds_ahead(order.sequence, now.timestamp()) or order.sequence <= record.sequence:
            raise ListsRefused(sentences.LISTS_OUT_OF_ORDER.format(sequence=order.sequence))
        lists = gather_lists(state, order.lists)
        if misuse := find_misuse(lists, documents):
            raise ListsRefused(misuse)
        former = {one.definition: one for one in record.lists}
        existing = set(list_group_sets())
        filled: list[str] = []
        try:
            for one in order.lists:
                known = former.get(one.definition)
                is_same = known is not None and known.digest == one.digest
                filled += _fill(one.definition, lists[one.definition], existing, always=not is_same)
                checkpoint("list-filled")
        finally:
            _note_filled(state, filled)
        keep_lists(state, ListRecord(order.sequence, order.lists), lists)
        return tuple(filled)


def loaded_documents(state: StateDirectory, confirmed: ConfirmedRecord | None = None) -> tuple[Document, ...]:
    """Return the confirmed document and that of an open window; `confirmed` is the record where it is known.

    Raises StateError, NetfilterError and OSError: then nobody can tell how the rules use a list.
    """
    record = confirmed or read_confirmed(state.boot)
    found = [record.document] if record is not None else []
    window, undo = state.read_window(), state.read_undo()
    if window is not None and undo is not None:
        found.append(read_stored(undo.document, window.digest))
    return tuple(found)


def check_stored_lists(state: StateDirectory, document: Document) -> None:
    """Check the stored lists before rules are loaded that may use them in another way than those of before.

    Raises ListsRefused, StateError, LockHeld and OSError.
    """
    allowed = {name for name, (_, uses) in uses_by_definition(document).items() if uses.allow}
    if not allowed:
        return
    with lists_lock(state, seconds=LOCK_SECONDS):
        wanted = [one for one in read_list_record(state).lists if one.definition in allowed]
        if misuse := find_misuse(gather_lists(state, wanted), [document]):
            raise ListsRefused(misuse)


def prepare_group_sets(state: StateDirectory, names: Iterable[str]) -> None:
    """Have those of these sets that do not exist, filled from the stored lists; others stay as they are.

    One without a stored list is not made here. Raises SetsFailed, StateError, LockHeld and OSError.
    """
    wanted = [name for name in names if BOUND_GROUP_SET.fullmatch(name)]
    if not wanted:
        return
    with lists_lock(state, seconds=LOCK_SECONDS):
        for name in sorted(set(wanted) - set(list_group_sets())):
            fill_group_set(name, stored_members(state, name))


def drop_group_sets(state: StateDirectory, needed: Iterable[str]) -> tuple[str, ...]:
    """Destroy the sets that are not needed and that no rule uses; return their names.

    The stored lists stay. Raises SetsFailed, LockHeld and OSError.
    """
    keep = set(needed)
    with lists_lock(state, seconds=LOCK_SECONDS):
        return destroy_bound_sets(name for name in list_group_sets() if name not in keep)


def repair_group_sets(state: StateDirectory) -> tuple[str, ...]:
    """Fill the sets that exist and do not hold their lists, and return their names.

    Another program may have changed one, or a fill was cut off. Of a set of more than 100,000 members only
    the count is compared. Nothing is done while an order is carried out. Raises SetsFailed, StateError and
    OSError.
    """
    with contextlib.suppress(LockHeld), lists_lock(state, seconds=0.0):
        names = tuple(name for name in list_group_sets() if _repair(state, name))
        _note_filled(state, names)
        return names
    return ()


def stored_members(state: StateDirectory, name: str) -> tuple[str, ...]:
    """Return the members of a set by the stored lists, none without one. Raises StateError and OSError."""
    family: Family = 6 if name.startswith("dockerfw6") else 4
    return tuple(read_bound_list(state, name.rpartition("-b")[2]).texts(family))


def held_lists(state: StateDirectory) -> tuple[BoundList, ...]:
    """Return the lists of the last order that was carried out. Raises StateError and OSError."""
    return read_list_record(state).lists


def _note_filled(state: StateDirectory, names: Iterable[str]) -> None:
    if count := len({name.rpartition("-b")[2] for name in names}):
        note_set_change(
            state, sentences.LIST_FILLED if count == 1 else sentences.LISTS_FILLED.format(count=count)
        )


def _fill(definition: str, networks: NetworkList, existing: Collection[str], *, always: bool) -> list[str]:
    filled = []
    for family in FAMILIES:
        name, members = bound_set_name(definition, family), tuple(networks.texts(family))
        if name not in existing:
            continue
        if always or read_group_set(name) != set(members):
            fill_group_set(name, members)
            filled.append(name)
            logger.info("%s has %d members now", name, len(members))
    return filled


def _repair(state: StateDirectory, name: str) -> bool:
    family, definition = name[len("dockerfw")], name.rpartition("-b")[2]
    known = [one for one in read_list_record(state).lists if one.definition == definition]
    count = sum(one.entries4 if family == "4" else one.entries6 for one in known)
    if count == count_members(name) and count > MOST_COMPARED:
        return False
    members = stored_members(state, name)
    if read_group_set(name) == set(members):
        return False
    fill_group_set(name, members)
    return True
