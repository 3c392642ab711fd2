"""Refuse everybody, or let go of the host: what root does on the host's console, straight in the kernel.

Needs neither Redis nor a database, only iptables. Both families change or neither does; foreign rules,
Docker's and the loaded revision stay. It must not wait for long: whoever calls a panic is in a hurry.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    """The kernel does not hold what was asked for; the text says why and what it holds."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: whether anything changed, what the user has to know, the commands that undo it."""

    changed: bool
    notes: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()


def panic(state: StateDirectory, allowed: Sequence[Network]) -> Done:
    """Refuse everything but loopback and these addresses, in both families. Raises NotDone."""
    with _locked(state) as notes:
        _, _, after = _change(lambda family, live: render_panic(family, live, allowed))
        if not all(is_panic_on(live) for live in after.values()):
            raise NotDone("the kernel does not hold the panic: somebody else changed the rules meanwhile")
    return Done(True, tuple(notes))


def calm(state: StateDirectory) -> Done:
    """End a panic: what was loaded before, or since, decides again. Raises NotDone."""
    with _locked(state) as notes:
        _, before, after = _change(lambda _, live: render_panic_end(live))
        if any(render_panic_end(live) for live in after.values()):
            raise NotDone("the panic is still in the kernel: somebody else changed the rules meanwhile")
    return Done(any(render_panic_end(live) for live in before.values()), tuple(notes))


def release(state: StateDirectory) -> Done:
    """Take every call of dockerfw's chains out; everything else stays. Raises NotDone.

    An open window is rolled back first: its end would otherwise bring the anchors of before back.
    """
    with _locked(state) as notes:
        window = _end_window(state, notes)
        backend, before, after = _change(lambda _, live: render_release(live))
        if any(render_release(live) for live in after.values()):
            raise NotDone("anchors are still in the kernel: somebody else changed the rules meanwhile")
        # Before anybody else gets the lock, who might put them back.
        notes += _mark_released(state)
    for family, live in after.items():
        notes += [
            f"IPv{family}: this rule is not dockerfw's and stays: {rule.text}"
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
    """Roll back what waits to be kept; say whether that was done. A note tells what became of it."""
    try:
        record = state.read_window()
        if record is None:
            return False
        if notes:
            notes.append("an apply waits to be kept: when it is rolled back, release once more")
            return False
        if end_if_due(state) is None:
            roll_back(state, record, "asked")
    except (HostError, NetfilterError, OSError) as error:
        notes.append(f"an apply waits to be kept, and could not be rolled back: {error}")
        return False
    notes.append(f"the apply of revision {record.revision} was waiting to be kept and has been ended first")
    return True


def _mark_released(state: StateDirectory) -> list[str]:
    try:
        state.mark_released()
    except OSError as error:
        return [f"where anchors are put back by themselves, these will be too ({error.strerror or error})"]
    return []


def _change(
    text_of: Callable[[Family, Ruleset], str],
) -> tuple[Backend, Mapping[Family, Ruleset], Mapping[Family, Ruleset]]:
    """Load each family's text; return the backend, and what it held before and after."""
    try:
        seen = look()
    except (HostError, NetfilterError, OSError) as error:
        raise NotDone(f"the rules cannot be read: {error}") from error
    try:
        for family, live in seen.rulesets.items():
            if text := text_of(family, live):
                load(seen.backend, family, text)
        after = look(seen.backend)
    except (HostError, NetfilterError, OSError) as error:
        raise NotDone(f"{error}. {_go_back(seen)}") from error
    return seen.backend, seen.rulesets, after.rulesets


def _go_back(before: Seen) -> str:
    try:
        now = look(before.backend).rulesets
        for family, live in before.rulesets.items():
            if _held(now[family]) != _held(live):
                load(before.backend, family, render_panic_undo(live, now[family]))
    except (HostError, NetfilterError, OSError) as error:
        return f"Putting back what was there failed too: {error}"
    return "Nothing was changed."


def _held(live: Ruleset) -> list[str]:
    """Return all that a panic or a release may change."""
    chain = live.chain("filter", PANIC)
    calls = [rule.text for _, rule in find_anchors(live)]
    return [*calls, "and", *([PANIC, *(rule.text for rule in chain.rules)] if chain else [])]


@contextlib.contextmanager
def _locked(state: StateDirectory) -> Iterator[list[str]]:
    """Hold the state lock if it can be had soon; without it go on all the same, and say so."""
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(state.lock(seconds=LOCK_SECONDS))
        except LockHeld:
            notes.append(
                "an apply was running at the same moment: look at the rules, and repeat this if need be"
            )
        except OSError as error:
            notes.append(f"the state directory {state.path} cannot be used ({error.strerror or error})")
        yield notes
