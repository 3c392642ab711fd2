"""The binder: gives the bound sets the members that the host shows now.

An apply prepares the sets that its rules name before it loads them. From then on the binder's process follows
the host. A set that neither the confirmed revision nor a loaded rule names is destroyed, but never while a
window is open: its end may load the previous rules again.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from dockerfw.bindings import sentences
from dockerfw.bindings.list_binder import drop_group_sets, prepare_group_sets, repair_group_sets
from dockerfw.chains.bound_sets import follows_host
from dockerfw.chains.container_sets import (
    NO_DEFINITIONS,
    Definitions,
    container_definitions,
    is_container_set,
)
from dockerfw.document.values import Document
from dockerfw.host.bound_sets import (
    SetsFailed,
    create_bound_sets,
    destroy_bound_sets,
    fill_bound_sets,
    list_bound_sets,
    read_bound_sets,
)
from dockerfw.host.clock import boottime, utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld
from dockerfw.host.hooks import checkpoint
from dockerfw.host.observation import read_bound_members
from dockerfw.iptables.errors import NetfilterError
from dockerfw.messages.events import ConsoleEvent
from dockerfw.store.bootfiles import read_confirmed_again
from dockerfw.store.bound_sets import (
    BoundRecord,
    bound_lock,
    digest_of_members,
    has_bound_record,
    may_need_sets,
    read_bound_record,
    remove_bound_record,
    sets_of_confirmed,
    write_bound_record,
)
from dockerfw.store.confirmed import ConfirmedRecord, read_confirmed
from dockerfw.store.outbox import Outbox
from dockerfw.store.set_changes import note_set_change
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.binder")

ACTOR = "root worker"
LOCK_SECONDS = 10.0
# What cannot be read for this long is unknown: the sets are emptied, so that they allow nothing.
UNKNOWN_SECONDS = 60.0
# Contents that another program keeps changing are reported this often.
TELL_SECONDS = 600.0
MAX_PROBLEM = 2000

Members = Mapping[str, tuple[str, ...]]


def prepare_bound_sets(
    state: StateDirectory,
    names: Sequence[str],
    document: Document,
    docker_socket: Path | None = None,
    known: ConfirmedRecord | None = None,
) -> Members:
    """Create and fill the sets that the rules of a document need before these are loaded.

    Return the members of those that were filled. Sets for rules by name keep what they have while the
    containers are unknown, and a new one stays empty. `known` is the confirmed revision if it was read
    before. Hold the lock on the host's rules. Raises SetsFailed, CommandFailed, LockHeld and OSError; sets
    that exist by then stay and change no traffic.
    """
    external, definitions = document.settings.external_interfaces, container_definitions(document)
    with bound_lock(state, seconds=LOCK_SECONDS):
        # Those of the confirmed revision are followed until the end of the window: only their members tell
        # which sessions its rules have allowed.
        followed = {**_confirmed_definitions(state, known), **definitions}
        before = read_bound_record(state)
        record = before.for_document(external, followed)
        # Written first: whatever dies from here on, the binder finds the sets.
        if record != before or not has_bound_record(state):
            write_bound_record(state, replace(record, looked=boottime()))
    # Lists may be large, and their sets have a lock of their own.
    prepare_group_sets(state, names)
    with bound_lock(state, seconds=LOCK_SECONDS):
        record, now = read_bound_record(state), boottime()
        wanted = {name: each for name, each in definitions.items() if name in names}
        with ThreadPoolExecutor(1) as pool:
            # To list all sockets takes longer than to create the sets, and needs none of them.
            members = pool.submit(read_bound_members, external, wanted, docker_socket)
            create_bound_sets(filter(follows_host, names))
            checkpoint("sets-created")
            found = members.result()
        filled = {name: found.members[name] for name in names if name in found.members}
        fill_bound_sets(filled)
        held = read_bound_sets(filter(follows_host, names))
        if any(sorted(held.get(name, ("",))) != sorted(wanted) for name, wanted in filled.items()):
            raise SetsFailed(sentences.FILLED_DIFFERS)
        digests = {**record.held, **{name: digest_of_members(members) for name, members in held.items()}}
        failing = now if found.why_unknown else 0.0
        write_bound_record(
            state,
            replace(
                record, looked=now, held=digests, problem=found.why_unknown[:MAX_PROBLEM], failing=failing
            ),
        )
        checkpoint("sets-filled")
    return filled


def _confirmed_definitions(state: StateDirectory, known: ConfirmedRecord | None) -> Definitions:
    """Return what the sets of the confirmed revision stand for; nothing where its record cannot be read."""
    with contextlib.suppress(HostError, NetfilterError):
        if (confirmed := read_confirmed_again(known, state.boot)) is not None:
            return container_definitions(confirmed.document)
    return NO_DEFINITIONS


def drop_unneeded_sets(state: StateDirectory) -> None:
    """Destroy the sets that an apply has prepared for nothing. Never raises.

    Hold the lock on the host's rules.
    """
    try:
        with bound_lock(state, seconds=LOCK_SECONDS):
            _drop(state, list_bound_sets())
    except (HostError, NetfilterError, OSError) as error:
        # The binder tries again.
        logger.info("sets that no rule needs stay for now: %s", error)


class Binder:
    """Fills the sets of one host."""

    def __init__(self, state: StateDirectory, *, host: str, docker_socket: Path | None = None) -> None:
        """Without `docker_socket`, sets for rules by name stay empty."""
        self._state = state
        self._host = host
        self._docker_socket = docker_socket
        self._known: ConfirmedRecord | None = None
        self._definitions: Definitions = NO_DEFINITIONS
        # While no binder ran, Docker may have given a container's address to another one.
        self._has_seen_containers = False
        self._said = ""
        self._hindered = False

    @property
    def is_hindered(self) -> bool:
        """True if the last whole look left sets that may go, because an apply or its end held the lock."""
        return self._hindered

    @property
    def has_problem(self) -> bool:
        """True if the last look failed."""
        return bool(self._said)

    def bind(self, *, whole: bool) -> bool:
        """Give the sets what the host shows now; return False when no revision needs a set any more.

        A `whole` look also reads what the kernel holds, creates what the confirmed revision misses, and
        destroys what no revision needs. Any other one only fills the sets whose members have changed. Never
        raises: what fails is in the record, and the next look tries again.
        """
        try:
            with bound_lock(self._state, seconds=LOCK_SECONDS):
                record = read_bound_record(self._state)
                try:
                    changed = self._bind_all(record) if whole else self._bind(record, record.held)
                except (HostError, NetfilterError, OSError) as error:
                    changed = _with_failure(record, str(error))
                if changed is None:
                    return False
                if whole or changed != record:
                    write_bound_record(self._state, changed)
            self._say(changed.problem)
        except (HostError, OSError) as error:
            self._say(str(error))
        return True

    def restore_lists(self, *, tell: bool = False) -> None:
        """Fill the sets of lists that do not hold them, such as those that a boot created. Never raises.

        With `tell` another program has changed them, which is reported.
        """
        try:
            names = repair_group_sets(self._state)
            for name in names:
                logger.info("%s holds its list again", name)
            if names and tell:
                with bound_lock(self._state, seconds=LOCK_SECONDS):
                    record = read_bound_record(self._state)
                    record = self._tell(record, names, sentences.LISTS_CHANGED_BY_OTHERS)
                    write_bound_record(self._state, record)
        except (HostError, NetfilterError, OSError) as error:
            logger.warning("the lists are not restored: %s", error)

    def _bind_all(self, record: BoundRecord) -> BoundRecord | None:
        self._hindered = False
        confirmed = self._confirmed()
        needed, existing = sets_of_confirmed(confirmed), list_bound_sets()
        if missing := [name for name in needed if name not in existing]:
            create_bound_sets(filter(follows_host, missing))
            prepare_group_sets(self._state, missing)
            existing = (*existing, *missing)
        elif len(existing) > len(needed) or not existing:
            existing = self._without_unneeded(existing)
            if not existing and not has_bound_record(self._state) and not may_need_sets(confirmed):
                return None
        members = read_bound_sets(filter(follows_host, existing))
        digests = {name: digest_of_members(found) for name, found in members.items()}
        changed = [name for name, digest in digests.items() if record.held.get(name, digest) != digest]
        if changed:
            record = self._tell(record, changed)
        return replace(self._bind(record, digests), looked=boottime())

    def _without_unneeded(self, existing: Sequence[str]) -> tuple[str, ...]:
        try:
            with self._state.lock(seconds=0.0):
                return _drop(self._state, existing)
        except LockHeld:
            self._hindered = True
            return tuple(existing)

    def _bind(self, record: BoundRecord, held: Mapping[str, str]) -> BoundRecord:
        """Fill the sets in `held` whose members are others than these digests say."""
        confirmed = self._confirmed()
        external = (
            record.external
            if confirmed is None or self._state.has_window()
            else confirmed.document.settings.external_interfaces
        )
        definitions = {**record.definitions, **self._definitions}
        wanted = {name: each for name, each in definitions.items() if name in held}
        found = read_bound_members(external, wanted, self._docker_socket)
        members = {name: each for name, each in found.members.items() if name in held}
        now = boottime()
        failing = (record.failing or now) if found.why_unknown else 0.0
        lasts = not self._has_seen_containers or now - failing > UNKNOWN_SECONDS
        for name in held:
            # A set without a definition belongs to no rule of a known revision.
            if is_container_set(name) and name not in members and (lasts or name not in wanted):
                members[name] = ()
        self._has_seen_containers = self._has_seen_containers or bool(wanted and not found.why_unknown)
        digests = {name: digest_of_members(each) for name, each in members.items()}
        changed = [name for name, digest in digests.items() if digest != held[name]]
        # What a container has left is removed before another container gets it.
        changed.sort(key=lambda name: len(members[name]))
        try:
            fill_bound_sets({name: members[name] for name in changed})
        finally:
            if changed:
                note_set_change(self._state, sentences.MEMBERS_CHANGED)
        for name in changed:
            logger.info("%s has %d members now", name, len(members[name]))
        problem = found.why_unknown[:MAX_PROBLEM]
        return replace(record, held={**held, **digests}, problem=problem, failing=failing)

    def _confirmed(self) -> ConfirmedRecord | None:
        known = read_confirmed_again(self._known, self._state.boot)
        if known is not self._known:
            self._known = known
            self._definitions = container_definitions(known.document) if known else NO_DEFINITIONS
        return known

    def _tell(
        self, record: BoundRecord, names: Sequence[str], sentence: str = sentences.CHANGED_BY_OTHERS
    ) -> BoundRecord:
        """Report that another program has changed sets, unless that was reported a moment ago."""
        words = sentence.format(names=" and ".join(names))
        logger.warning("%s", words)
        now = boottime()
        if record.told and now - record.told < TELL_SECONDS:
            return record
        event = ConsoleEvent(str(uuid4()), self._host, "sets-refilled", ACTOR, utc_now(), words)
        Outbox(self._state.journal).write(event)
        return replace(record, told=now)

    def _say(self, problem: str) -> None:
        if problem != self._said:
            logger.log(logging.WARNING if problem else logging.INFO, "%s", problem or "the sets are filled")
        self._said = problem


def _drop(state: StateDirectory, existing: Sequence[str]) -> tuple[str, ...]:
    """Destroy what no revision needs, and return the sets that are left. Hold both locks."""
    if state.has_window():
        return tuple(existing)
    needed = sets_of_confirmed(read_confirmed(state.boot))
    unneeded = [name for name in existing if name not in needed]
    gone = {*destroy_bound_sets(filter(follows_host, unneeded)), *drop_group_sets(state, needed)}
    left = tuple(name for name in existing if name not in gone)
    if not left and not needed:
        remove_bound_record(state)
    return left


def _with_failure(record: BoundRecord, problem: str) -> BoundRecord:
    """Return the record with a problem; empty the sets if it lasts, as their members are unknown then."""
    now = boottime()
    since = record.failing or now
    held = dict(record.held)
    if now - since > UNKNOWN_SECONDS:
        for name in filter(follows_host, record.held):
            with contextlib.suppress(HostError):
                fill_bound_sets({name: ()})
                held[name] = digest_of_members(())
    return replace(record, held=held, problem=problem[:MAX_PROBLEM], failing=since, looked=now)
