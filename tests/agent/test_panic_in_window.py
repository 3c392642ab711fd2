"""Panic and release while a window is open: which rules come first, and what is left at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dockerfw.agent import panic, sentences
from dockerfw.chains.panic import find_anchors, is_panic_on
from dockerfw.iptables.parse import parse_save
from dockerfw.store.bootfiles import boot_apply
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import (
    ARTICLE_INPUT,
    PLAIN_INPUT,
    add_foreign,
    answer,
    held,
    let_window_pass,
    load,
    told,
    watchdogs,
)
from tests.rig.namespace import FAMILIES, Backend, Namespace, wait_until

pytestmark = pytest.mark.kernel

Ending = Callable[[StateDirectory], None]
INPUTS = pytest.mark.parametrize("lines", [PLAIN_INPUT, ARTICLE_INPUT], ids=["plain", "article"])


def ask(state: StateDirectory) -> None:
    """Roll back on request."""
    assert answer("rollback", state).state == "rolled_back"


def keep_silent(state: StateDirectory) -> None:
    """Let the watchdog see the deadline."""
    let_window_pass(state)
    wait_until("the roll back", lambda: state.read_window() is None)


def panicking(namespace: Namespace, backend: Backend) -> bool:
    """Return True if both families refuse everything first."""
    return all(is_panic_on(parse_save(namespace.save(backend, family))) for family in FAMILIES)


@pytest.mark.parametrize("end", [ask, keep_silent])
@INPUTS
def test_a_roll_back_during_a_panic_keeps_the_panic(
    inside: Namespace, backend: Backend, state: StateDirectory, lines: str, end: Ending
) -> None:
    add_foreign(inside, backend, lines)
    before = held(inside, backend)
    load(state, "22")
    assert panic.panic(state, []).notes == ()
    end(state)
    assert state.read_window() is None
    assert refused(inside, backend)
    assert panic.end_panic(state).changed
    assert held(inside, backend) == before
    wait_until("the watchdog to end", lambda: not watchdogs(state))


def refused(namespace: Namespace, backend: Backend) -> bool:
    """Return True if INPUT, FORWARD and DOCKER-USER of both families call the panic first."""
    for family in FAMILIES:
        live = parse_save(namespace.save(backend, family))
        for name in ("INPUT", "FORWARD", "DOCKER-USER"):
            chain = live.chain("filter", name)
            assert chain is not None
            calls = [rule.target.name if rule.target else "" for rule in chain.rules]
            if calls[:1] != ["FILTERS-PANIC"]:
                return False
    return True


def test_keep_during_a_panic_keeps_both(inside: Namespace, backend: Backend, state: StateDirectory) -> None:
    add_foreign(inside, backend)
    one = load(state, "22")
    loaded = held(inside, backend)
    panic.panic(state, [])
    assert answer("keep", state).state == "confirmed"
    assert panicking(inside, backend)
    assert boot_apply(state.boot) == one.apply
    # A boot comes up without the panic.
    assert not any(b"PANIC" in path.read_bytes() for path in state.boot.iterdir())
    panic.end_panic(state)
    assert held(inside, backend) == loaded


def test_an_apply_during_a_panic_loads_below_it(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    load(state, "22")
    answer("keep", state)
    before = held(inside, backend)
    panic.panic(state, [])
    load(state, "443", sequence=2)
    assert panicking(inside, backend)
    assert answer("rollback", state).state == "rolled_back"
    assert panicking(inside, backend)
    panic.end_panic(state)
    assert held(inside, backend) == before


def test_a_panic_that_ends_in_the_window_leaves_no_trace(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend, ARTICLE_INPUT)
    before = held(inside, backend)
    load(state, "22")
    loaded = held(inside, backend)
    panic.panic(state, [])
    panic.end_panic(state)
    assert held(inside, backend) == loaded
    ask(state)
    assert held(inside, backend) == before


def test_release_ends_the_window_and_no_jump_returns(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    load(state, "22")
    answer("keep", state)
    one = load(state, "443", sequence=2)
    done = panic.release(state)
    assert done.changed
    assert sentences.ENDED_FIRST.format(revision=2) in done.notes
    assert state.read_window() is None
    assert told(state, one)[-1].state == "rolled_back"
    released = held(inside, backend)
    wait_until("the watchdog to end", lambda: not watchdogs(state))
    assert held(inside, backend) == released
    for family in FAMILIES:
        assert find_anchors(parse_save(inside.save(backend, family))) == []
        # What is under the anchors is the revision that was kept, and what undoes the release calls that.
        assert "--dport 443" not in "\n".join(released[family])
    assert any("FILTERS-HOST" in line for line in done.undo)


def test_release_of_a_first_apply_leaves_the_host_as_it_was(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    before = held(inside, backend)
    load(state, "22")
    assert panic.release(state).changed
    assert held(inside, backend) == before
    assert not panic.release(state).changed
