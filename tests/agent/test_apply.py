"""An apply on the real kernel: it loads, or it leaves everything as it was and says what failed."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from dockerfw.agent import apply
from dockerfw.agent.panic import NotDone
from dockerfw.agent.sentences import NOTHING_CHANGED_IN_KERNEL
from dockerfw.agent.sequence import reset_sequence
from dockerfw.chains.forwarding import lost_docker_user
from dockerfw.chains.sentences import rules_not_printed
from dockerfw.host import loading as restore
from dockerfw.host.files import locked
from dockerfw.host.reading import Seen, look
from dockerfw.iptables.sentences import table_not_printed
from dockerfw.messages.outcomes import LOADING_STEPS, Outcome
from dockerfw.store import state as state_module
from dockerfw.store.bootfiles import MODES
from dockerfw.store.state import LastOrder, StateDirectory
from dockerfw.window.window import end_if_due
from tests.rig.bound_sets import published
from tests.rig.host_states import (
    ARTICLE_INPUT,
    PLAIN_INPUT,
    Saboteur,
    add_foreign,
    answer,
    document,
    foreign_lines,
    held,
    order,
    run,
)
from tests.rig.meeting import let_meet
from tests.rig.namespace import FAMILIES, Backend, Family, Namespace

pytestmark = pytest.mark.kernel

INPUTS = pytest.mark.parametrize("lines", [PLAIN_INPUT, ARTICLE_INPUT], ids=["plain", "article"])
BREAKS = {
    "fails": "echo 'No chain/target/match by that name.' >&2; exit 2",
    "is killed": "kill -9 $$",
    "hangs": "exec sleep 60",
    "fails after it loaded": '"$REAL" "$@"; echo too late >&2; exit 1',
    "is killed after it loaded": '"$REAL" "$@"; kill -9 $$',
    "hangs after it loaded": '"$REAL" "$@"; exec sleep 60',
}


@pytest.fixture
def saboteur(tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    """Breaks programs of the backend under test; a restore may take 1.5 seconds."""
    directory = tmp_path / "bin"
    directory.mkdir()
    one = Saboteur(directory, backend)
    monkeypatch.setenv("PATH", one.path)
    monkeypatch.setattr(restore, "RESTORE_SECONDS", 1.5)
    return one


def confirm(state: StateDirectory, sequence: int, *ports: str) -> Outcome:
    """Load a document that opens these ports, and keep it; both must work."""
    outcome = run(order(document(*ports), sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    outcome = answer("keep", state, sequence=sequence)
    assert (outcome.state, outcome.error) == ("confirmed", None)
    return outcome


def failed(outcome: Outcome, step: str) -> Any:
    """Return the error of an outcome that failed at this step."""
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.step == step, outcome.error
    assert [part.state for part in outcome.steps] == ["done"] * (len(outcome.steps) - 1) + ["failed"]
    return outcome.error


@INPUTS
def test_apply_loads_and_leaves_other_rules_alone(
    inside: Namespace, backend: Backend, state: StateDirectory, lines: str
) -> None:
    add_foreign(inside, backend, lines)
    before = held(inside, backend)
    one = order(document("8080", "22"), sequence=7)
    outcome = run(one, state)
    assert (outcome.state, outcome.error) == ("awaiting", None)
    assert [step.name for step in outcome.steps] == list(LOADING_STEPS)
    assert {step.state for step in outcome.steps} == {"done"}
    assert outcome.loaded is not None
    assert (outcome.loaded.revision, outcome.loaded.digest) == (7, one.digest)
    after = held(inside, backend)
    for family in FAMILIES:
        expected = foreign_lines(before[family])
        if lines == ARTICLE_INPUT:
            # One of the two equal lines was the article's; -D takes the first.
            expected.remove("[0:0] -A INPUT -i lo -j ACCEPT")
        assert foreign_lines(after[family]) == expected
        assert any("FILTERS" in line and "dockerfw r7" in line for line in after[family])
    assert not state.boot.exists()
    assert answer("keep", state).state == "confirmed"
    assert (state.read_window(), state.read_undo()) == (None, None)
    assert {path.name for path in state.boot.iterdir()} == set(MODES)


def test_apply_loads_on_a_host_without_docker(inside: Namespace, state: StateDirectory) -> None:
    confirm(state, 1, "22")
    assert ":DOCKER-USER - [0:0]" in held(inside, "nft")[4]


def test_a_call_that_docker_takes_out_for_a_moment_needs_no_own_jump(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    call = ("FORWARD", "-j", "DOCKER-USER")
    for family in FAMILIES:
        inside.iptables("-D", *call, backend="nft", family=family)

    def docker_puts_it_back(backend: Backend | None = None, *, seconds: float) -> Seen:
        seen = look(backend, seconds=seconds)
        if any(map(lost_docker_user, seen.rulesets.values())):
            for family in FAMILIES:
                inside.iptables("-I", *call, backend="nft", family=family)
        return seen

    monkeypatch.setattr(apply, "look", docker_puts_it_back)
    assert run(order(document("22")), state).state == "awaiting"
    for lines in held(inside, "nft").values():
        forward = [line for line in lines if "-A FORWARD" in line]
        assert len(forward) == 2
        assert "FILTERS" not in "".join(forward)


def test_a_call_that_docker_never_makes_gets_an_own_jump(inside: Namespace, state: StateDirectory) -> None:
    add_foreign(inside, "nft")
    before = held(inside, "nft")
    inside.iptables("-D", "FORWARD", "-j", "DOCKER-USER", backend="nft", family=6)
    assert run(order(document("22")), state).state == "awaiting"
    forward = [line for line in held(inside, "nft")[6] if "-A FORWARD" in line]
    assert "-A FORWARD -i ens33 -j FILTERS-CONTAINERS" in forward[0]
    assert not [line for line in held(inside, "nft")[4] if "FORWARD -i ens33" in line]
    assert answer("rollback", state).state == "rolled_back"
    inside.iptables("-I", "FORWARD", "1", "-j", "DOCKER-USER", backend="nft", family=6)
    assert held(inside, "nft") == before


# What hangs costs its time limit each time: once is enough for that.
BROKEN = [(how, PLAIN_INPUT) for how in BREAKS] + [
    (how, ARTICLE_INPUT) for how in BREAKS if "hangs" not in how
]


BROKEN_IDS = [f"{how}-{'plain' if lines == PLAIN_INPUT else 'article'}" for how, lines in BROKEN]


@pytest.mark.parametrize(("how", "lines"), BROKEN, ids=BROKEN_IDS)
def test_failed_load_changes_nothing(
    inside: Namespace,
    backend: Backend,
    family: Family,
    state: StateDirectory,
    saboteur: Saboteur,
    how: str,
    lines: str,
) -> None:
    add_foreign(inside, backend, lines)
    before = held(inside, backend)
    saboteur.on(family, BREAKS[how])
    error = failed(run(order(document("8080")), state), f"load-ipv{family}")
    assert held(inside, backend) == before
    assert f"IPv{family}" in error.summary
    assert "previous rules are restored" in error.summary
    assert error.command[0].endswith("-restore")
    assert saboteur.calls(family) > 0
    assert (state.read_window(), state.read_undo()) == (None, None)
    assert not state.boot.exists()


@pytest.mark.parametrize("how", BREAKS)
def test_broken_second_apply_leaves_the_first(
    inside: Namespace, backend: Backend, state: StateDirectory, saboteur: Saboteur, how: str
) -> None:
    add_foreign(inside, backend)
    confirm(state, 1, "22", "8080")
    before = held(inside, backend)
    boot = {path.name: path.read_bytes() for path in state.boot.iterdir()}
    saboteur.on(6, BREAKS[how])
    failed(run(order(document("443"), sequence=2), state), "load-ipv6")
    assert held(inside, backend) == before
    assert {path.name: path.read_bytes() for path in state.boot.iterdir()} == boot
    confirm(state, 3, "443")


def test_roll_back_removes_a_chain_that_the_apply_created(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Saboteur(tmp_path, "nft")
    monkeypatch.setenv("PATH", one.path)
    one.on(6, BREAKS["fails"])
    failed(run(order(document("22")), state), "load-ipv6")
    for family in FAMILIES:
        text = inside.save("nft", family).decode()
        assert "DOCKER-USER" not in text
        assert "FILTERS" not in text
        assert "-A " not in text


def test_changes_of_other_programs_meanwhile_stay(
    inside: Namespace, backend: Backend, state: StateDirectory, saboteur: Saboteur
) -> None:
    add_foreign(inside, backend, ARTICLE_INPUT)
    before = held(inside, backend)[4]
    wait = "-w 5" if backend == "legacy" else ""
    ban = f"iptables-{backend} {wait} -I INPUT 1 -s 192.0.2.99 -j DROP"
    join = f"iptables-{backend} {wait} -A DOCKER-USER -s 192.0.2.98 -j DROP"
    saboteur.on(6, f"{ban} && {join} && echo no >&2; exit 1")
    failed(run(order(document("22")), state), "load-ipv6")
    after = held(inside, backend)[4]
    theirs = ["[0:0] -A INPUT -s 192.0.2.99/32 -j DROP", "[0:0] -A DOCKER-USER -s 192.0.2.98/32 -j DROP"]
    assert set(theirs) <= set(after)
    assert [line for line in after if line not in theirs] == before


def test_read_back_detects_changes_of_another_program(
    inside: Namespace, backend: Backend, state: StateDirectory, saboteur: Saboteur
) -> None:
    add_foreign(inside, backend)
    before = held(inside, backend)
    wait = "-w 5" if backend == "legacy" else ""
    saboteur.on(6, f'"$REAL" "$@" && iptables-{backend} {wait} -D FILTERS 1')
    error = failed(run(order(document("22")), state), "read-back")
    assert "does not hold what was loaded: IPv4" in error.summary
    assert held(inside, backend) == before


def test_failed_rehearsal_changes_nothing(
    inside: Namespace, backend: Backend, family: Family, state: StateDirectory, saboteur: Saboteur
) -> None:
    add_foreign(inside, backend)
    before = held(inside, backend)
    # The real program is asked with a line that it refuses, so the words are its own.
    saboteur.on(family, 'sed "s/--ctorigdstport 22/--ctorigdstport nothing/" | "$REAL" "$@"', rehearsal=True)
    error = failed(run(order(document("22")), state), "rehearse")
    assert held(inside, backend) == before
    assert "Nothing was changed" in error.summary
    assert "line" in error.stderr.lower()
    assert error.line_number > 1
    assert "--ctorigdstport 22" in error.line


def test_failed_save_changes_nothing(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Saboteur(tmp_path, "nft")
    monkeypatch.setenv("PATH", one.path)
    one.on(6, "echo 'Permission denied (you must be root)' >&2; exit 4", verb="save", times=99)
    error = failed(run(order(document("22")), state), "snapshot")
    assert (error.exit_status, error.stderr) == (4, "Permission denied (you must be root)\n")
    assert "FILTERS" not in inside.save().decode()


@pytest.mark.parametrize("where", ["undo", "report"])
def test_full_disk_changes_nothing(
    inside: Namespace,
    backend: Backend,
    state: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    add_foreign(inside, backend)
    confirm(state, 1, "22")
    before = held(inside, backend)
    boot = {path.name: path.read_bytes() for path in state.boot.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def settle(outcome: Outcome) -> None:
        if outcome.state == "awaiting":
            full()

    if where == "undo":
        monkeypatch.setattr(state_module.StateDirectory, "open_window", full)
    outcome = run(order(document("443"), sequence=2), state, settle=settle if where == "report" else None)
    error = failed(outcome, "watchdog" if where == "undo" else where)
    assert "No space left on device" in error.summary
    assert held(inside, backend) == before
    assert {path.name: path.read_bytes() for path in state.boot.iterdir()} == boot


def test_state_directory_that_cannot_be_written(inside: Namespace) -> None:
    error = failed(run(order(document("22")), StateDirectory(Path("/proc/none/state"))), "lock")
    assert "Nothing was changed" in error.summary
    assert "FILTERS" not in inside.save().decode()


def test_one_apply_at_a_time(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = state.lock(seconds=0.1)
    monkeypatch.setattr(StateDirectory, "lock", lambda self, seconds=0.1: taken_again(self))

    def taken_again(self: StateDirectory) -> Any:
        return locked(self.path / "lock", seconds=0.1)

    with taken:
        error = failed(run(order(document("22")), state), "lock")
    assert "another process holds" in error.summary


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "wrong host": ({"host": "other"}, "for the host 'other'"),
    "wrong digest": ({"digest": "0" * 64}, "digest"),
    "invalid document": (
        {"document": {"format": "dockerfw/1", "rules": [{"scope": "both", "ports": [70000]}]}},
        "70000",
    ),
    "no document": ({"document": {}}, "format"),
    "replayed": ({"sequence": 5}, "not above 5"),
    "older": ({"sequence": 4}, "not above 5"),
    "ahead of the clock": ({"sequence": 2**53 - 1}, "more than 5 minutes ahead of this host's clock"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_orders_change_nothing(inside: Namespace, state: StateDirectory, what: str) -> None:
    confirm(state, 5, "22")
    before = held(inside, "nft")
    changes, words = REFUSED[what]
    error = failed(run(order(document("443"), **{"sequence": 6, **changes}), state), "validate")
    assert words in error.summary
    assert held(inside, "nft") == before
    assert state.read_last_order().sequence == 5


def test_a_number_far_ahead_of_the_clock_can_be_reset(inside: Namespace, state: StateDirectory) -> None:
    confirm(state, 5, "22")
    state.write_last_order(LastOrder(2**53 - 1, ""))
    now = time.time_ns() // 1_000_000
    error = failed(run(order(document("443"), sequence=now), state), "validate")
    assert "Run the command reset-sequence" in error.summary
    assert reset_sequence(state).changed
    assert not reset_sequence(state).changed
    # What was sent before the reset stays refused.
    error = failed(run(order(document("443"), sequence=now), state), "validate")
    assert "is not above" in error.summary
    confirm(state, time.time_ns() // 1_000_000 + 1000, "443")


def test_the_number_is_not_reset_while_an_apply_waits(inside: Namespace, state: StateDirectory) -> None:
    assert run(order(document("22")), state).state == "awaiting"
    state.write_last_order(LastOrder(2**53 - 1, ""))
    with pytest.raises(NotDone, match="waits for confirmation"):
        reset_sequence(state)


@pytest.mark.parametrize("content", [b"not JSON", b""])
def test_a_number_that_cannot_be_read_is_reset(state: StateDirectory, content: bytes) -> None:
    state.prepare()
    (state.path / "sequence.json").write_bytes(content)
    assert reset_sequence(state).changed
    assert state.read_last_order().sequence > 0


@INPUTS
def test_apply_killed_in_the_middle_is_undone(
    inside: Namespace, backend: Backend, state: StateDirectory, monkeypatch: pytest.MonkeyPatch, lines: str
) -> None:
    add_foreign(inside, backend, lines)
    before = held(inside, backend)

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(apply, "plan_rules", killed)
        with pytest.raises(Killed):
            run(order(document("22")), state)
    assert held(inside, backend) != before
    with state.lock():
        end_if_due(state)
    assert state.read_window() is None
    assert held(inside, backend) == before


def test_failed_roll_back_is_reported_and_retried(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    before = held(inside, "nft")
    (tmp_path / "bin").mkdir()
    one = Saboteur(tmp_path / "bin", "nft")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", one.path)
        one.on(6, BREAKS["fails"])
        marker = tmp_path / "loaded"
        # The first load works, the roll back does not.
        one.on(
            4, f'[ -e {marker} ] && {{ echo broken >&2; exit 1; }}; touch {marker}; "$REAL" "$@"', times=99
        )
        error = failed(run(order(document("22")), state), "load-ipv6")
    assert "Restoring the previous rules failed too" in error.summary
    assert held(inside, "nft") != before
    confirm(state, 2, "443")
    assert "dockerfw r2" in inside.save().decode()
    assert not re.search(r"--ctorigdstport 22\b", inside.save().decode().split("f2b-sshd")[0])


def test_counters_of_rules_that_stay_are_carried_over(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    confirm(state, 1, "22")
    text = inside.save(backend, 4, counters=True).decode()
    line = next(line for line in text.split("\n") if "-A FILTERS " in line and "dstport 22" in line)
    counted = re.sub(r"^\[0:0\]", "[12:3456]", line)
    chain = [counted if part == line else part for part in text.split("\n") if "-A FILTERS " in part]
    loaded = "\n".join(["*filter", ":FILTERS - [0:0]", *chain, "COMMIT", ""])
    inside.restore(loaded, backend, 4, counters=True)
    confirm(state, 2, "22", "443")
    assert counted in held(inside, backend)[4]


def test_kernel_without_ipv6_gets_ipv4_and_says_so(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockerfw.host import backend as backend_module

    one = Saboteur(tmp_path, "nft")
    monkeypatch.setenv("PATH", one.path)
    for verb in ("save", "restore"):
        one.on(
            6,
            "echo 'Address family not supported by protocol' >&2; exit 3",
            verb=verb,
            times=99,
            rehearsal=True,
        )
    monkeypatch.setattr(backend_module, "kernel_families", lambda: (4,))
    outcome = run(order(document("22")), state)
    details = {step.name: step.detail for step in outcome.steps}
    assert "no IPv6" in details["load-ipv6"]
    assert "dockerfw r1" in inside.save().decode()


def test_nothing_is_loaded_over_rules_that_cannot_be_read(inside: Namespace, state: StateDirectory) -> None:
    add_foreign(inside, "nft")
    inside.run("nft", "add", "rule", "ip", "filter", "INPUT", "meta", "hour", '"10:00"-"12:00"', "drop")
    before = inside.run("nft", "list", "ruleset").stdout
    error = failed(run(order(document("22")), state), "snapshot")
    words = rules_not_printed(4, table_not_printed("filter", whole=True)).rstrip(".")
    assert error.summary == NOTHING_CHANGED_IN_KERNEL.format(summary=words)
    assert inside.run("nft", "list", "ruleset").stdout == before


def test_the_rehearsal_runs_while_the_sets_are_prepared(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    # Both families are rehearsed, and the sets' members need the sockets.
    together = ("iptables-nft-restore", "ip6tables-nft-restore", "ss")
    monkeypatch.setenv("PATH", let_meet(tmp_path / "bin", *together)["PATH"])
    outcome = run(order(published("8080")), state)
    assert outcome.state == "awaiting", outcome.error


def test_sets_that_cannot_be_prepared_end_the_apply_after_its_rehearsal(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    saboteur = Saboteur(tmp_path / "bin", "nft")
    saboteur.on(4, BREAKS["fails"], rehearsal=True)
    (tmp_path / "bin" / "ss").write_text("#!/bin/sh\necho no sockets >&2\nexit 1\n")
    (tmp_path / "bin" / "ss").chmod(0o755)
    monkeypatch.setenv("PATH", saboteur.path)
    outcome = run(order(published("8080")), state)
    # What failed first in the order of the steps is what is told.
    assert outcome.error is not None
    assert outcome.error.step == "sets"
    assert saboteur.calls(4) > 0
    assert "no sockets" in outcome.error.stderr
    assert not state.has_window()
