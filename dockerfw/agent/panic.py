"""Panic and release: what root does on the host's console, straight in the kernel.

They need neither Redis nor a database, only iptables. Both families change or neither does. Docker's rules,
other rules and the loaded revision stay. Neither waits long, because an admin who calls a panic is in a
hurry.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dockerfw.agent import sentences
from dockerfw.chains.names import PANIC, body
from dockerfw.chains.panic import (
    find_anchors,
    find_foreign_calls,
    find_revision_anchors,
    is_panic_on,
    render_panic,
    render_panic_end,
    render_panic_undo,
    render_release,
)
from dockerfw.host.backend import program
from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld
from dockerfw.host.loading import load
from dockerfw.host.reading import Seen, look
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Backend, Family, Ruleset
from dockerfw.simulation.addresses import Network
from dockerfw.store.state import StateDirectory
from dockerfw.window.window import end_if_due, roll_back

LOCK_SECONDS = 5.0


class NotDone(HostError):  # noqa: N818 - it states a fact
    """The kernel does not hold what was requested; the text says why and what it holds."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: whether anything changed, notes for the admin, and the commands that undo it."""

    changed: bool
    notes: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()


def panic(state: StateDirectory, allowed: Sequence[Network]) -> Done:
    """Refuse all traffic but loopback and these addresses, in both families. Raises NotDone."""
    with _locked(state) as notes:
        _, _, after = _change(lambda family, live: render_panic(family, live, allowed))
        if not all(is_panic_on(live) for live in after.values()):
            raise NotDone(sentences.PANIC_NOT_HELD)
    return Done(True, tuple(notes))


def end_panic(state: StateDirectory) -> Done:
    """End a panic: the loaded rules decide again. Raises NotDone."""
    with _locked(state) as notes:
        _, before, after = _change(lambda _, live: render_panic_end(live))
        if any(render_panic_end(live) for live in after.values()):
            raise NotDone(sentences.PANIC_STILL_HELD)
    return Done(any(render_panic_end(live) for live in before.values()), tuple(notes))


def release(state: StateDirectory) -> Done:
    """Remove every jump to dockerfw's chains; everything else stays. Raises NotDone.

    An open window is rolled back first, because its end would restore the previous jumps.
    """
    with _locked(state) as notes:
        window = _end_window(state, notes)
        backend, before, after = _change(lambda _, live: render_release(live))
        if any(render_release(live) for live in after.values()):
            raise NotDone(sentences.JUMPS_STILL_HELD)
        # Before self-repair gets the lock and restores them.
        notes += _mark_released(state)
    for family, live in after.items():
        notes += [
            sentences.FOREIGN_JUMP_STAYS.format(family=family, rule=rule.text)
            for rule in find_foreign_calls(live)
        ]
    undo = [
        f"{program(backend, family)} -I {rule.chain} {place} {body(rule)}"
        for family, live in before.items()
        for place, rule in find_revision_anchors(live)
    ]
    changed = window or any(render_release(live) for live in before.values())
    return Done(changed, tuple(notes), tuple(undo))


def _end_window(state: StateDirectory, notes: list[str]) -> bool:
    """Roll back an open window and return True if that was done. A note says what happened."""
    try:
        record = state.read_window()
        if record is None:
            return False
        if notes:
            notes.append(sentences.RELEASE_AGAIN)
            return False
        if end_if_due(state) is None:
            roll_back(state, record, "asked")
    except (HostError, NetfilterError, OSError) as error:
        notes.append(sentences.NOT_ROLLED_BACK.format(error=error))
        return False
    notes.append(sentences.ENDED_FIRST.format(revision=record.revision))
    return True


def _mark_released(state: StateDirectory) -> list[str]:
    try:
        state.mark_released()
    except OSError as error:
        return [sentences.SELF_REPAIR_RESTORES.format(reason=error.strerror or error)]
    return []


def _change(
    text_of: Callable[[Family, Ruleset], str],
) -> tuple[Backend, Mapping[Family, Ruleset], Mapping[Family, Ruleset]]:
    """Load each family's text; return the backend, and what it held before and after."""
    try:
        seen = look()
    except (HostError, NetfilterError, OSError) as error:
        raise NotDone(sentences.RULES_UNREADABLE.format(error=error)) from error
    try:
        for family, live in seen.rulesets.items():
            if text := text_of(family, live):
                load(seen.backend, family, text)
        after = look(seen.backend)
    except (HostError, NetfilterError, OSError) as error:
        raise NotDone(f"{error}. {_restore(seen)}") from error
    return seen.backend, seen.rulesets, after.rulesets


def _restore(before: Seen) -> str:
    try:
        now = look(before.backend).rulesets
        for family, live in before.rulesets.items():
            if _held(now[family]) != _held(live):
                load(before.backend, family, render_panic_undo(live, now[family]))
    except (HostError, NetfilterError, OSError) as error:
        return sentences.RESTORE_FAILED_TOO.format(error=error)
    return sentences.NOTHING_CHANGED


def _held(live: Ruleset) -> list[str]:
    """Return all that a panic or a release may change."""
    chain = live.chain("filter", PANIC)
    calls = [rule.text for _, rule in find_anchors(live)]
    return [*calls, "and", *([PANIC, *(rule.text for rule in chain.rules)] if chain else [])]


@contextlib.contextmanager
def _locked(state: StateDirectory) -> Iterator[list[str]]:
    """Hold the state lock if it is free soon; otherwise go on without it, and note that."""
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(state.lock(seconds=LOCK_SECONDS))
        except LockHeld:
            notes.append(sentences.APPLY_WAS_RUNNING)
        except OSError as error:
            reason = error.strerror or error
            notes.append(sentences.STATE_UNUSABLE.format(path=state.path, reason=reason))
        yield notes
