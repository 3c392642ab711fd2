"""The root worker's state as a backup keeps it: what is taken, what is believed of it, how it is put back.

Owns which files matter. The rules that a boot loads are written anew from the confirmed document, never taken
from a backup: root runs them. An open window is not kept, for its way back is of another day.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dockerfw.host.files import LockedOut, make_directory, read_bounded, sync_directory, write_durably
from dockerfw.host.hooks import reached
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.outcomes import Outcome
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
from dockerfw.store.records import StateError
from dockerfw.store.state import Begun, StateDirectory

FOLDER = "state/"
_SEQUENCE = f"{FOLDER}sequence.json"
_CONFIRMED = f"{FOLDER}{CONFIRMED}"
_JOURNAL = f"{FOLDER}journal/"
_LETTER = re.compile(r"(?:outcome-[0-9a-f-]{36}-[0-9]{6}|console-[0-9a-f-]{36})\.json", re.ASCII)
MOST_LETTERS = 2000
MOST_BYTES = 16 * 1024 * 1024
# It sees a quarter of a second later that its window is closed.
WATCHDOG_SECONDS = 3.0


class InTheWay(Exception):  # noqa: N818 - it states a fact
    """The root worker is at work, so its state cannot be replaced."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """The state in a backup, checked: the last sequence, the revision kept last, what was not delivered."""

    sequence: int
    confirmed: ConfirmedRecord | None
    letters: Mapping[str, bytes]


def state_mark(state: StateDirectory) -> tuple[object, ...]:
    """Return what is another one whenever an order was let in, a window opened or closed, or one was kept."""
    return state.last_begun(), state.window_changed(), boot_apply(state.boot)


def state_take(state: StateDirectory) -> dict[str, bytes]:
    """Return the state as members of a backup, of one moment. Raises LockedOut, StateError, OSError.

    StateError also where a restore has not come to its end.
    """
    with state.lock():
        refuse_half_restored(state.path)
        begun = state.last_begun()
        members = {_SEQUENCE: json.dumps({"sequence": begun.sequence}).encode()}
        confirmed = read_confirmed(state.boot)
        if confirmed is not None:
            members[_CONFIRMED] = confirmed.to_text().encode()
        if state.journal.is_dir():
            for path in sorted(state.journal.iterdir())[:MOST_LETTERS]:
                content = read_bounded(path, most=MOST_BYTES) if _LETTER.fullmatch(path.name) else None
                if content is not None:
                    members[f"{_JOURNAL}{path.name}"] = content
        return members


def state_check(members: Mapping[str, bytes]) -> StoredState:
    """Read the state out of a backup's members. Raises StateError for what dockerfw does not write."""
    sequence = 0
    confirmed: ConfirmedRecord | None = None
    letters: dict[str, bytes] = {}
    for member, content in members.items():
        if not member.startswith(FOLDER):
            continue
        try:
            if member == _SEQUENCE:
                sequence = Begun.from_json(load_json(content)).sequence
            elif member == _CONFIRMED:
                confirmed = confirmed_from(content)
            else:
                name = member.removeprefix(_JOURNAL)
                if not _LETTER.fullmatch(name):
                    raise MessageError("", "dockerfw has no such file")
                value = load_json(content)
                if name.startswith("outcome-"):
                    Outcome.from_json(value)
                else:
                    ConsoleEvent.from_json(value)
                letters[name] = content
        except MessageError as error:
            raise StateError(f"{member}: {error}") from None
    return StoredState(sequence, confirmed, letters)


@contextlib.contextmanager
def state_alone(state: StateDirectory) -> Iterator[None]:
    """Keep root worker and watchdog away for the block. Raises InTheWay and OSError."""
    make_directory(state.path)
    with ExitStack() as stack:
        try:
            stack.enter_context(state.worker_lock())
        except LockedOut:
            raise InTheWay("The root worker is running: stop it first.") from None
        try:
            stack.enter_context(state.watchdog_lock(seconds=WATCHDOG_SECONDS))
            stack.enter_context(state.lock(seconds=2.0))
        except LockedOut:
            raise InTheWay(
                "An apply waits to be kept or rolled back: answer it, or wait until its window has ended."
            ) from None
        if state.read_window() is not None:
            raise InTheWay(
                "An apply has not come to its end on this host: start the root worker, which ends it, then "
                "stop it."
            )
        yield


def state_is_used(state: StateDirectory) -> bool:
    """Say whether anything was ever ordered or kept here. Raises StateError and OSError."""
    return state.last_begun().sequence > 0 or boot_apply(state.boot) != "" or state.boot.exists()


@contextlib.contextmanager
def state_put(
    state: StateDirectory, stored: StoredState, *, sequence: int, aside: str, note: RestoreNote
) -> Iterator[str]:
    """Put a stored state in place, the former one in the folder `aside`; take it back if the block fails.

    Yields where the former one is, empty when there was none. `sequence` is the last number that counts as
    used. The note is there for as long as state and block are not both done or undone. Hold `state_alone`.
    Raises OSError.
    """
    kept = state.path / aside
    was_used = state_is_used(state)
    # (Never into one that is there.)
    kept.mkdir(mode=0o700)
    try:
        _copy(state.path, kept)
        note.write()
    except BaseException:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    try:
        reached("restore-noted")
        _put(state, stored, sequence)
        reached("restore-state")
        yield str(kept) if was_used else ""
    except BaseException:
        _take_back(kept, state.path)
        note.taken_back()
        shutil.rmtree(kept, ignore_errors=True)
        raise
    # Restoring loads nothing, and neither shall a container that starts with it before the next boot.
    with contextlib.suppress(OSError):
        state.mark_boot()
    remove_old_sets(state.boot)
    note.end()
    if not was_used and not note.unsure:
        shutil.rmtree(kept, ignore_errors=True)


def _put(state: StateDirectory, stored: StoredState, sequence: int) -> None:
    state.prepare()
    # No apply's id: none may pass for one that was here before.
    state.write_begun(Begun(sequence, ""))
    for path in state.journal.iterdir():
        if path.is_file():
            path.unlink()
    for name, content in stored.letters.items():
        write_durably(state.journal / name, content)
    sync_directory(state.journal)
    (state.path / "seen.json").unlink(missing_ok=True)
    confirmed = stored.confirmed
    if confirmed is None:
        if state.boot.is_symlink():
            state.boot.unlink()
    elif not _boots(state, confirmed):
        switch_boot_set(write_boot_set(confirmed, boot=state.boot), state.boot)
    sync_directory(state.path)


def _boots(state: StateDirectory, confirmed: ConfirmedRecord) -> bool:
    """Say whether a boot loads exactly this already; then its files are better left in peace."""
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


def _take_back(kept: Path, folder: Path) -> None:
    """Put back by renaming alone, which needs no room and leaves no moment without a sequence number."""
    for name in (name for name in _OWN if name != SETS):
        path, former = folder / name, kept / name
        if path.is_dir() and not path.is_symlink():
            os.replace(path, kept / f"{name}.failed")
        elif not os.path.lexists(former):
            path.unlink(missing_ok=True)
        if os.path.lexists(former):
            os.replace(former, path)
    # Those that were there before are as they were: none that is in use is ever written to.
    for directory in (folder / SETS).glob("*"):
        if not (kept / SETS / directory.name).exists():
            shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / SETS).rmdir()
    sync_directory(folder)
