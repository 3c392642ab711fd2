"""The confirmation window on the real kernel: kept, rolled back, extended, forgotten, booted away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dockerfw.store import bootfiles
from dockerfw.store.bootfiles import MODES, boot_apply
from dockerfw.store.state import StateDirectory
from dockerfw.window import sentences, window
from dockerfw.window.supervisor import Supervisor
from dockerfw.window.window import NotOpen, end_if_due
from tests.rig.host_states import (
    ARTICLE_INPUT,
    PLAIN_INPUT,
    add_foreign,
    answer,
    document,
    foreign_lines,
    held,
    let_window_pass,
    load,
    order,
    run,
    told,
    watchdogs,
)
from tests.rig.namespace import FAMILIES, Backend, Namespace, wait_until

pytestmark = pytest.mark.kernel

INPUTS = pytest.mark.parametrize("lines", [PLAIN_INPUT, ARTICLE_INPUT], ids=["plain", "article"])


@INPUTS
def test_roll_back_on_request(inside: Namespace, backend: Backend, state: StateDirectory, lines: str) -> None:
    add_foreign(inside, backend, lines)
    before = held(inside, backend)
    load(state, "22")
    assert held(inside, backend) != before
    outcome = answer("rollback", state)
    assert outcome.state == "rolled_back"
    assert outcome.way_back is not None
    assert outcome.way_back.reason == "asked"
    assert held(inside, backend) == before
    assert not state.boot.exists()


@INPUTS
def test_watchdog_rolls_back_without_an_answer(
    inside: Namespace, backend: Backend, state: StateDirectory, lines: str
) -> None:
    add_foreign(inside, backend, lines)
    before = held(inside, backend)
    one = load(state, "22")
    let_window_pass(state)
    wait_until("the roll back", lambda: state.read_window() is None)
    assert held(inside, backend) == before
    last = told(state, one)[-1]
    assert (last.state, last.loaded) == ("rolled_back", None)
    assert last.way_back is not None
    assert last.way_back.reason == "silence"
    assert sentences.NOT_KEPT_IN_TIME.format(revision=1, seconds=60) in last.way_back.summary
    wait_until("the watchdog to end", lambda: not watchdogs(state))


def test_roll_back_restores_the_live_rules_and_not_the_previous_revision(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    load(state, "22")
    assert answer("keep", state).state == "confirmed"
    # dockerfw's chain was changed by hand: these rules are live, and they are restored.
    inside.iptables("-I", "FILTERS", "1", "-s", "192.0.2.7", "-j", "RETURN", backend=backend)
    before = held(inside, backend)
    load(state, "443", sequence=2)
    answer("rollback", state)
    assert held(inside, backend) == before


def test_changes_of_other_programs_during_the_window_stay(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend, ARTICLE_INPUT)
    before = held(inside, backend)
    load(state, "22")
    for family, address in ((4, "192.0.2.99/32"), (6, "2001:db8::99/128")):
        family_of: Any = family
        inside.iptables("-I", "INPUT", "1", "-s", address, "-j", "DROP", backend=backend, family=family_of)
        inside.iptables("-N", "DOCKER-MORE", backend=backend, family=family_of)
        inside.iptables("-A", "FORWARD", "-j", "DOCKER-MORE", backend=backend, family=family_of)
    answer("rollback", state)
    after = held(inside, backend)
    for family in FAMILIES:
        theirs = [line for line in after[family] if "DOCKER-MORE" in line or "::99" in line or ".99" in line]
        assert len(theirs) == 3
        assert [line for line in after[family] if line not in theirs] == before[family]


def test_boot_loads_the_kept_revision(inside: Namespace, backend: Backend, state: StateDirectory) -> None:
    add_foreign(inside, backend)
    first = load(state, "22")
    assert not state.boot.exists()
    outcome = answer("keep", state)
    assert outcome.loaded is not None
    assert outcome.steps[-1].name == "boot-files"
    assert boot_apply(state.boot) == first.apply
    kept = {path.name: path.read_bytes() for path in state.boot.iterdir()}
    load(state, "443", sequence=2)
    answer("rollback", state)
    assert {path.name: path.read_bytes() for path in state.boot.iterdir()} == kept
    load(state, "443", sequence=3)
    answer("keep", state)
    assert {path.name for path in state.boot.iterdir()} == set(MODES)
    assert "dockerfw r3" in (state.boot / "rules.v4").read_text()
    assert "dockerfw r3" in (state.boot / "rules.v6").read_text()
    assert len(list((state.path / "boot-sets").iterdir())) == 1


def test_boot_files_of_an_early_release_are_replaced(inside: Namespace, state: StateDirectory) -> None:
    state.boot.mkdir()
    (state.boot / "rules.v4").write_text("old")
    one = load(state, "22")
    assert answer("keep", state).state == "confirmed"
    assert boot_apply(state.boot) == one.apply
    assert "dockerfw r1" in (state.boot / "rules.v4").read_text()


def test_keep_that_cannot_write_leaves_the_window_open(
    inside: Namespace, backend: Backend, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, backend)
    before = held(inside, backend)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    load(state, "22")
    with monkeypatch.context() as patch:
        patch.setattr(bootfiles, "write_all_durably", full)
        outcome = answer("keep", state)
    assert (outcome.state, outcome.event) == ("awaiting", 101)
    assert outcome.error is not None
    assert outcome.error.step == "keep"
    assert "No space left on device" in outcome.error.summary
    assert outcome.error.summary.endswith(sentences.KEEP_FAILED.partition("{error}")[2])
    assert not state.boot.exists()
    assert answer("rollback", state).state == "rolled_back"
    assert held(inside, backend) == before


def test_extended_window_ends_later(inside: Namespace, state: StateDirectory) -> None:
    one = load(state, "22")
    first = state.read_window()
    outcome = answer("extend", state, seconds=300)
    assert outcome.window is not None
    assert (outcome.state, outcome.error, outcome.window.seconds) == ("awaiting", None, 300)
    second = state.read_window()
    assert first is not None
    assert second is not None
    assert second.deadline == pytest.approx(first.deadline + 240)
    shorter = answer("extend", state, seconds=60)
    assert shorter.error is not None
    assert shorter.error.summary == sentences.SHORTER_WINDOW.format(now=300, seconds=60)
    assert [outcome.event for outcome in told(state, one)][-3:] == [100, 101, 102]
    assert answer("keep", state).state == "confirmed"


def test_second_apply_is_refused_while_one_waits(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    load(state, "22")
    waiting = held(inside, backend)
    outcome = run(order(document("443"), sequence=2), state)
    assert (outcome.state, outcome.steps[-1].name) == ("failed", "lock")
    assert outcome.error is not None
    assert sentences.AWAITS_CONFIRMATION.partition(" until ")[0].format(revision=1) in outcome.error.summary
    assert "Nothing was changed" in outcome.error.summary
    assert held(inside, backend) == waiting
    assert answer("keep", state).state == "confirmed"


def test_same_revision_again_and_back(inside: Namespace, backend: Backend, state: StateDirectory) -> None:
    add_foreign(inside, backend)
    load(state, "22")
    answer("keep", state)
    before = held(inside, backend)
    for sequence in (2, 3):
        again = order(document("22"), sequence=sequence, revision=1)
        assert run(again, state).state == "awaiting"
        assert held(inside, backend) == before
        assert answer("rollback" if sequence == 2 else "keep", state).state != "awaiting"
        assert held(inside, backend) == before


def test_roll_back_of_a_roll_back(inside: Namespace, backend: Backend, state: StateDirectory) -> None:
    add_foreign(inside, backend)
    for sequence, port in enumerate(("22", "443", "22"), 1):
        load(state, port, sequence=sequence)
        answer("keep", state)
    before = held(inside, backend)
    load(state, "443", sequence=4)
    answer("rollback", state)
    assert held(inside, backend) == before
    load(state, "443", sequence=5)
    answer("keep", state)
    assert "dockerfw r5" in "\n".join(held(inside, backend)[4])


def test_empty_document_refuses_everything_but_the_basics_and_comes_back(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    before = held(inside, backend)
    empty = {"format": "dockerfw/1", "settings": {"external_interfaces": ["ens33"]}, "rules": []}
    assert run(order(empty), state).state == "awaiting"
    ours = [line for line in held(inside, backend)[4] if "-A FILTERS " in line]
    log, refusal = ours
    assert "-j NFLOG" in log
    assert "REJECT" in refusal
    assert foreign_lines(held(inside, backend)[4]) == foreign_lines(before[4])
    answer("rollback", state)
    assert held(inside, backend) == before


def test_first_apply_on_an_empty_host_leaves_nothing_behind(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    if backend == "legacy":
        inside.iptables("-P", "INPUT", "ACCEPT", backend="legacy")
    load(state, "22", seconds=1)
    wait_until("the roll back", lambda: state.read_window() is None)
    for family in FAMILIES:
        text = inside.save("nft", family).decode()
        assert "FILTERS" not in text
        assert "DOCKER-USER" not in text


WRONG_ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "old": ({"issued_at": "2026-01-31T12:00:00Z"}, "s ago"),
    "from the future": ({"issued_at": "2099-01-31T12:00:00Z"}, "in the future"),
    "replayed": ({"sequence": 6}, "below 7"),
}


@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_refused_answers_leave_the_window_open(inside: Namespace, state: StateDirectory, what: str) -> None:
    load(state, "22", sequence=7)
    changes, words = WRONG_ANSWERS[what]
    outcome = answer("keep", state, **changes)
    assert outcome.state == "awaiting"
    assert outcome.error is not None
    assert words in outcome.error.summary
    assert not state.boot.exists()


def test_answers_to_nothing_are_refused(inside: Namespace, state: StateDirectory) -> None:
    with pytest.raises(NotOpen, match="no open window"):
        answer("keep", state)
    load(state, "22")
    with pytest.raises(NotOpen, match="no open window"):
        answer("keep", state, apply="0b8d6a1e-9c2f-4d53-8a77-0123456789ab")
    with pytest.raises(NotOpen, match="for the host"):
        answer("keep", state, host="other")
    assert not state.boot.exists()


def test_repeated_answer_counts_once(inside: Namespace, state: StateDirectory) -> None:
    load(state, "22")
    for _ in range(2):
        assert answer("extend", state, seconds=300, sequence=2).error is None
    assert answer("keep", state, sequence=3).state == "confirmed"
    with pytest.raises(NotOpen):
        answer("keep", state, sequence=3)


@pytest.mark.parametrize("issued_at", ["2026-01-31T12:00:00Z", "2099-01-31T12:00:00Z"])
def test_order_that_is_not_fresh_is_refused(inside: Namespace, state: StateDirectory, issued_at: str) -> None:
    outcome = run(order(document("22"), issued_at=issued_at), state)
    assert (outcome.state, outcome.steps[-1].name) == ("failed", "validate")
    assert outcome.error is not None
    assert "the order is refused: " in outcome.error.summary
    assert "FILTERS" not in inside.save().decode()
    assert state.read_last_order().sequence == 0


def test_reboot_ends_the_window_and_reports_it(inside: Namespace, state: StateDirectory) -> None:
    one = load(state, "22")
    record = state.read_window()
    assert record is not None
    loaded = held(inside, "nft")
    with state.lock():
        state.write_window(replace(record, boot="another boot"))
        outcome = end_if_due(state)
    assert outcome is not None
    assert outcome.way_back is not None
    assert outcome.way_back.reason == "rebooted"
    assert state.read_window() is None
    # The kernel came up with the boot files; nothing is restored over them.
    assert held(inside, "nft") == loaded
    assert told(state, one)[-1] == outcome


def test_process_killed_while_writing_the_boot_files_leaves_complete_ones(
    inside: Namespace, state: StateDirectory
) -> None:
    one = load(state, "22")
    directory = state.path / "boot-sets" / one.apply
    directory.mkdir(parents=True)
    for name in (".rules.v4.abc", "rules.v6"):
        (directory / name).write_text("half")
    assert answer("keep", state).state == "confirmed"
    assert {path.name for path in state.boot.iterdir()} == set(MODES)


def test_process_killed_after_the_switch_has_kept_the_revision(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(point: str) -> None:
        if point == "keep-switched":
            raise Killed

    one = load(state, "22")
    with monkeypatch.context() as patch:
        patch.setattr(window, "checkpoint", killed)
        with pytest.raises(Killed):
            answer("keep", state)
    assert told(state, one)[-1].state == "awaiting"
    Supervisor(state, on_closed=lambda: None).start()
    assert told(state, one)[-1].state == "confirmed"
    assert state.read_window() is None
