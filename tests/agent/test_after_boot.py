"""A root worker in a container, on the real kernel: windows end with it, and boots are made good."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.agent.afterboot import load_after_boot
from dockerfw.agent.panic import release
from dockerfw.agent.root import half_restored
from dockerfw.host.clock import utc_now
from dockerfw.store.backup import state_check, state_lock, state_replace, state_take
from dockerfw.store.confirmed import CONFIRMED
from dockerfw.store.interrupted import NOTE, RestoreNote
from dockerfw.store.state import StateDirectory
from dockerfw.window.supervisor import Minder
from dockerfw_site.environment import read_environment
from tests.rig.host_states import (
    ADDRESS,
    FOREIGN,
    PLAIN_INPUT,
    add_foreign,
    answer,
    document,
    foreign_lines,
    held,
    load,
    order,
    run,
    stop_watchdogs,
    told,
)
from tests.rig.namespace import FAMILIES, Backend, Namespace

pytestmark = pytest.mark.kernel


def test_an_open_window_ends_with_the_container(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    before = held(inside, backend)
    one = load(state, "22")
    Minder(state, closed=lambda: None).leave()
    assert held(inside, backend) == before
    assert state.read_window() is None
    last = told(state, one)[-1]
    assert last.state == "rolled_back"
    assert last.way_back is not None
    assert last.way_back.reason == "stopped"
    assert "was stopped before anybody kept revision 1" in last.way_back.summary


def test_what_is_kept_stays_when_the_container_ends(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    load(state, "22")
    assert answer("keep", state).state == "confirmed"
    after = held(inside, backend)
    Minder(state, closed=lambda: None).leave()
    assert held(inside, backend) == after
    assert "FILTERS-HOST" in "".join(after[4])


def keep_and_boot(inside: Namespace, state: StateDirectory, backend: Backend) -> dict[int, list[str]]:
    """Keep a revision, boot without the boot unit, let Docker start; return what the kernel held before."""
    add_foreign(inside, backend)
    outcome = run(order(document("22")), state)
    assert outcome.state == "awaiting"
    assert answer("keep", state).state == "confirmed"
    before = {int(family): lines for family, lines in held(inside, backend).items()}
    boot(inside, state, backend)
    return before


def boot(inside: Namespace, state: StateDirectory, backend: Backend) -> None:
    """Let the kernel forget everything, and Docker start; what was kept is of the boot before."""
    # Of those that looked before, one may go on for a moment after a keep.
    stop_watchdogs(state)
    path = Path(state.boot, CONFIRMED)
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "an-earlier-one"}))
    for family in FAMILIES:
        for words in ("-F", "-X"):
            inside.iptables(words, backend=backend, family=family)
    add_foreign(inside, backend)


def test_a_boot_without_the_boot_unit_is_made_good(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    before = keep_and_boot(inside, state, backend)
    bare = held(inside, backend)
    assert load_after_boot(state)
    assert {int(family): lines for family, lines in held(inside, backend).items()} == before
    assert foreign_lines(held(inside, backend)[4]) == foreign_lines(bare[4])

    # Who takes it away within this boot means it.
    for family in FAMILIES:
        inside.iptables("-F", "FILTERS", backend=backend, family=family)
        inside.iptables("-D", "INPUT", "-j", "FILTERS-HOST", backend=backend, family=family)
    now = held(inside, backend)
    assert not load_after_boot(state)
    assert held(inside, backend) == now


def test_a_worker_that_was_killed_between_the_families_is_made_good(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    before = keep_and_boot(inside, state, backend)
    assert load_after_boot(state)
    (state.path / "booted").unlink()
    for words in ("-F", "-X"):
        inside.iptables(words, backend=backend, family=6)
    inside.restore(FOREIGN.format(input=PLAIN_INPUT, address=ADDRESS[6]), backend, 6, counters=True)
    assert held(inside, backend)[6] != before[6]
    assert load_after_boot(state)
    assert {int(family): lines for family, lines in held(inside, backend).items()} == before


def test_an_apply_of_an_earlier_boot_that_cannot_be_ended_is_said_and_in_nobodys_way(
    inside: Namespace, backend: Backend, state: StateDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    before = keep_and_boot(inside, state, backend)
    one = load(state, "23", sequence=2)
    boot(inside, state, backend)
    window = state.read_window()
    assert window is not None
    state.write_window(replace(window, boot="an-earlier-one"))
    # Its last word cannot be written.
    state.journal.rename(state.path / "elsewhere")
    state.journal.touch()
    minder = Minder(state, closed=lambda: None)
    with pytest.raises(OSError, match="journal"):
        minder.start()

    assert load_after_boot(state)
    assert {int(family): lines for family, lines in held(inside, backend).items()} == before
    assert "the apply of revision 2, of an earlier boot, is not ended yet" in caplog.text
    state.journal.unlink()
    Path(state.path, "elsewhere").rename(state.journal)
    minder.start()
    assert state.read_window() is None
    assert told(state, one)[-1].state == "rolled_back"
    assert {int(family): lines for family, lines in held(inside, backend).items()} == before


def test_an_apply_of_this_boot_that_has_not_ended_is_said_and_puts_the_loading_off(
    inside: Namespace, backend: Backend, state: StateDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    before = keep_and_boot(inside, state, backend)
    load(state, "23", sequence=2)
    now = held(inside, backend)
    assert not load_after_boot(state)
    assert held(inside, backend) == now
    assert "the apply of revision 2 has not come to its end" in caplog.text
    assert answer("rollback", state).state == "rolled_back"
    assert load_after_boot(state)
    assert {int(family): lines for family, lines in held(inside, backend).items()} == before


def test_what_was_let_go_in_this_boot_is_not_loaded_again(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    keep_and_boot(inside, state, backend)
    release(state)
    now = held(inside, backend)
    assert not load_after_boot(state)
    assert held(inside, backend) == now


def test_a_restored_revision_waits_for_the_next_boot(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    keep_and_boot(inside, state, backend)
    stored = state_check(state_take(state))
    assert stored.confirmed is not None
    note = RestoreNote(state.path, backup=utc_now(), aside="before", settings=False)
    with state_lock(state), state_replace(state, stored, sequence=5, aside="before", note=note):
        pass
    now = held(inside, backend)
    assert not load_after_boot(state)
    assert held(inside, backend) == now
    (state.path / "booted").write_text("an-earlier-one")
    assert load_after_boot(state)


def test_a_restore_that_was_cut_off_keeps_no_boot_from_loading(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    before = keep_and_boot(inside, state, backend)
    environment = replace(read_environment({}), in_container=True)
    assert not half_restored(environment, state)
    RestoreNote(
        state.path, backup=utc_now(), aside="before-restore-20260131T120000.000000", settings=False
    ).write()
    now = held(inside, backend)
    assert half_restored(environment, state)
    assert held(inside, backend) == now, "a restore loads nothing"
    note = state.path / NOTE
    note.write_text(json.dumps({**json.loads(note.read_text()), "boot": "an-earlier-one"}))
    assert half_restored(environment, state)
    assert {int(family): lines for family, lines in held(inside, backend).items()} == before


def test_what_the_boot_unit_has_loaded_is_left_alone(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    keep_and_boot(inside, state, backend)
    for family in FAMILIES:
        inside.iptables("-N", "FILTERS-HOST", backend=backend, family=family)
    now = held(inside, backend)
    assert not load_after_boot(state)
    assert held(inside, backend) == now


def test_without_a_kept_revision_there_is_nothing_to_load(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    now = held(inside, backend)
    assert not load_after_boot(state)
    assert held(inside, backend) == now


def test_a_kept_revision_that_cannot_be_read_is_said_and_loads_nothing(
    inside: Namespace, backend: Backend, state: StateDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    keep_and_boot(inside, state, backend)
    Path(state.boot, CONFIRMED).write_text("{")
    now = held(inside, backend)
    assert not load_after_boot(state)
    assert held(inside, backend) == now
    assert "is not loaded after this boot" in caplog.text
