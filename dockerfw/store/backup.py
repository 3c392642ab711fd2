"""The root worker's state in a backup: which files it takes, how it checks them, how it restores them.

The boot files are written anew from the confirmed document and never taken from a backup, because root runs
them: a backup contains no loaded rules, and those in one are ignored. An open window is not in a backup,
because its previous rules are outdated when the backup is restored.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld, make_directory, read_bounded, sync_directory, write_durably
from dockerfw.host.hooks import checkpoint
from dockerfw.messages.codec import Message, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Count
from dockerfw.store import sentences
from dockerfw.store.bootfiles import (
    SETS,
    boot_apply,
    boot_texts,
    remove_old_sets,
    switch_boot_set,
    write_boot_set,
)
from dockerfw.store.confirmed import CONFIRMED, ConfirmedRecord, confirmed_from, read_confirmed
from dockerfw.store.interrupted import RestoreNote, refuse_half_restored
from dockerfw.store.letters import LETTER_NAME, parse_letter
from dockerfw.store.records import StateError
from dockerfw.store.state import LastOrder, StateDirectory

FOLDER = "state/"
_SEQUENCE = f"{FOLDER}sequence.json"
_CONFIRMED = f"{FOLDER}{CONFIRMED}"
_JOURNAL = f"{FOLDER}journal/"
MOST_LETTERS = 2000
MOST_BYTES = 16 * 1024 * 1024
# The watchdog needs a quarter of a second to see that its window is closed.
WATCHDOG_SECONDS = 3.0


class StateInUse(HostError):  # noqa: N818 - it states a fact
    """The root worker or an apply uses the state, so it cannot be replaced."""


@dataclass(frozen=True, slots=True)
class _StoredSequence(Message):
    """The last sequence number in a backup, which does not name the apply."""

    IGNORES_UNKNOWN_KEYS: ClassVar = True

    sequence: Count


@dataclass(frozen=True, slots=True)
class StoredState:
    """The checked state of a backup: last sequence number, confirmed revision, undelivered letters."""

    sequence: int
    confirmed: ConfirmedRecord | None
    letters: Mapping[str, bytes]


def state_mark(state: StateDirectory) -> tuple[object, ...]:
    """Return a value that differs after each order, each change of a window and each confirmed revision."""
    return state.read_last_order(), state.window_version(), boot_apply(state.boot)


def state_take(state: StateDirectory) -> dict[str, bytes]:
    """Return the state at one moment as members of a backup. Raises LockHeld, StateError and OSError.

    RestoreUnfinished, a StateError, is raised after a restore that did not finish.
    """
    with state.lock():
        refuse_half_restored(state.path)
        members = {_SEQUENCE: json.dumps({"sequence": state.read_last_order().sequence}).encode()}
        confirmed = read_confirmed(state.boot)
        if confirmed is not None:
            members[_CONFIRMED] = replace(confirmed, loaded={}).to_text().encode()
        if state.journal.is_dir():
            for path in sorted(state.journal.iterdir())[:MOST_LETTERS]:
                content = read_bounded(path, most=MOST_BYTES) if LETTER_NAME.fullmatch(path.name) else None
                if content is not None:
                    members[f"{_JOURNAL}{path.name}"] = content
        return members


def state_check(members: Mapping[str, bytes]) -> StoredState:
    """Read the state from the members of a backup. Raises StateError for what dockerfw does not write."""
    sequence = 0
    confirmed: ConfirmedRecord | None = None
    letters: dict[str, bytes] = {}
    for member, content in members.items():
        if not member.startswith(FOLDER):
            continue
        try:
            if member == _SEQUENCE:
                sequence = _StoredSequence.from_json(load_json(content)).sequence
            elif member == _CONFIRMED:
                confirmed = replace(confirmed_from(content), loaded={})
            else:
                name = member.removeprefix(_JOURNAL)
                parse_letter(name, content)
                letters[name] = content
        except MessageError as error:
            raise StateError(f"{member}: {error}") from None
    return StoredState(sequence, confirmed, letters)


@contextlib.contextmanager
def state_lock(state: StateDirectory) -> Iterator[None]:
    """Keep the root worker and the watchdog out for the block. Raises StateInUse and OSError."""
    make_directory(state.path)
    with ExitStack() as stack:
        try:
            stack.enter_context(state.worker_lock())
        except LockHeld:
            raise StateInUse(sentences.WORKER_RUNNING) from None
        try:
            stack.enter_context(state.watchdog_lock(seconds=WATCHDOG_SECONDS))
            stack.enter_context(state.lock(seconds=2.0))
        except LockHeld:
            raise StateInUse(sentences.WINDOW_OPEN) from None
        if state.read_window() is not None:
            raise StateInUse(sentences.APPLY_UNFINISHED)
        yield


def state_is_used(state: StateDirectory) -> bool:
    """Return True if this host ever had an order or a confirmed revision. Raises StateError and OSError."""
    return state.read_last_order().sequence > 0 or boot_apply(state.boot) != "" or state.boot.exists()


@contextlib.contextmanager
def state_replace(
    state: StateDirectory, stored: StoredState, *, sequence: int, aside: str, note: RestoreNote
) -> Iterator[str]:
    """Replace the state by a stored one, and undo that if the block fails.

    The former state is kept in the folder `aside`; yields its path, empty if there was none. `sequence` is
    the last number that counts as used. The note exists until the state and the block are both done or both
    undone. Hold `state_lock`. Raises OSError.
    """
    former = state.path / aside
    was_used = state_is_used(state)
    # It fails if the folder exists.
    former.mkdir(mode=0o700)
    try:
        _copy(state.path, former)
        note.write()
    except BaseException:
        shutil.rmtree(former, ignore_errors=True)
        raise
    try:
        checkpoint("restore-noted")
        _replace(state, stored, sequence)
        checkpoint("restore-state")
        yield str(former) if was_used else ""
    except BaseException:
        _undo_replacement(former, state.path)
        note.end_undone()
        shutil.rmtree(former, ignore_errors=True)
        raise
    # A restore loads no rules, and a container that starts afterwards must not load any in this boot.
    with contextlib.suppress(OSError):
        state.mark_boot_handled()
    remove_old_sets(state.boot)
    note.end()
    if not was_used and not note.unsure:
        shutil.rmtree(former, ignore_errors=True)


def _replace(state: StateDirectory, stored: StoredState, sequence: int) -> None:
    state.prepare()
    # Without the id of an apply: no order may pass for one that this host had before.
    state.write_last_order(LastOrder(sequence, ""))
    for path in state.journal.iterdir():
        if path.is_file():
            path.unlink()
    for name, content in stored.letters.items():
        write_durably(state.journal / name, content)
    sync_directory(state.journal)
    (state.path / "seen.json").unlink(missing_ok=True)
    if stored.confirmed is None:
        if state.boot.is_symlink():
            state.boot.unlink()
    else:
        confirmed = _with_own_rules(state, stored.confirmed)
        if not _boots_already(state, confirmed):
            switch_boot_set(write_boot_set(confirmed, boot=state.boot), state.boot)
    sync_directory(state.path)


def _with_own_rules(state: StateDirectory, stored: ConfirmedRecord) -> ConfirmedRecord:
    """Return the record with the rules that this host itself loaded for it, if it still has them."""
    try:
        own = read_confirmed(state.boot)
    except (StateError, OSError):
        return stored
    return own if own is not None and replace(own, loaded={}) == stored else stored


def _boots_already(state: StateDirectory, confirmed: ConfirmedRecord) -> bool:
    """Return True if a boot already loads exactly this revision; then its files are left alone."""
    if boot_apply(state.boot) != confirmed.apply:
        return False
    return all(
        (state.boot / name).is_file() and (state.boot / name).read_bytes() == text.encode()
        for name, text in boot_texts(confirmed, boot=state.boot).items()
    )


_OWN = ("sequence.json", "seen.json", "journal", SETS, "boot")


def _copy(source: Path, target: Path) -> None:
    make_directory(target)
    for name in _OWN:
        path = source / name
        if path.is_symlink():
            (target / name).unlink(missing_ok=True)
            (target / name).symlink_to(os.readlink(path))
        elif path.is_dir():
            shutil.copytree(path, target / name, symlinks=True, dirs_exist_ok=True)
        elif path.is_file():
            shutil.copy2(path, target / name)
    _sync(target)
    sync_directory(source)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_symlink():
            continue
        if path.is_dir():
            _sync(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_directory(folder)


def _undo_replacement(former: Path, folder: Path) -> None:
    """Restore the former state by renaming only, which needs no space and always leaves a sequence number."""
    for name in (name for name in _OWN if name != SETS):
        path, source = folder / name, former / name
        if path.is_dir() and not path.is_symlink():
            os.replace(path, former / f"{name}.failed")
        elif not os.path.lexists(source):
            path.unlink(missing_ok=True)
        if os.path.lexists(source):
            os.replace(source, path)
    # The former sets are unchanged, because a set in use is never written to.
    for directory in (folder / SETS).glob("*"):
        if not (former / SETS / directory.name).exists():
            shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / SETS).rmdir()
    sync_directory(folder)
