"""Static sets in an apply on the real kernel: loaded before the rules, compared, undone, kept, destroyed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from dockerfw.agent.afterboot import load_after_boot
from dockerfw.chains.names import FILTERS_HOST
from dockerfw.chains.static_sets import static_sets_named
from dockerfw.doctor.boot_facts import boot_facts
from dockerfw.host.clock import utc_now
from dockerfw.host.static_sets import fill_static_sets, read_static_sets
from dockerfw.messages.outcomes import Outcome
from dockerfw.store.backup import state_check, state_lock, state_replace, state_take
from dockerfw.store.confirmed import CONFIRMED, read_confirmed
from dockerfw.store.interrupted import RestoreNote
from dockerfw.store.state import StateDirectory
from dockerfw.window.window import end_if_due
from tests.rig.host_states import Saboteur, answer, document, held, order, run, stop_watchdogs
from tests.rig.namespace import FAMILIES, Backend, Namespace, wait_until
from tests.rig.static_sets import long_list, networks, numbered, static_sets_in, wait_for_static_sets

pytestmark = pytest.mark.kernel


def named(namespace: Namespace, backend: Backend = "nft") -> list[str]:
    """Return the static sets that the loaded rules match."""
    lines = held(namespace, backend)
    return sorted(name for family in FAMILIES for name in static_sets_named("\n".join(lines[family])))


def apply(state: StateDirectory, count: int, *, sequence: int, first: int = 0) -> Outcome:
    """Load a list of so many sources; that must work, and its window is left open."""
    outcome = run(order(long_list(count, first=first), sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    return outcome


def test_sets_are_loaded_with_the_rules_and_go_after_keep(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    outcome = apply(state, 70, sequence=1)
    step = next(step for step in outcome.steps if step.name == "sets")
    assert step.detail == "2 ipsets with 140 members"
    first = named(inside, backend)
    assert (len(first), static_sets_in(inside)) == (2, first)
    assert answer("keep", state).state == "confirmed"
    assert static_sets_in(inside) == first
    hits = f"-exist add {first[0]} 20.0.0.0/26 packets 7 bytes 420 comment p22n40"
    inside.run("ipset", *hits.split())
    apply(state, 71, sequence=2)
    second = named(inside, backend)
    # The old sets stay, because the window's end may need them.
    assert static_sets_in(inside) == sorted([*first, *second])
    assert read_static_sets()[second[0]].elements["20.0.0.0/26"].packets == 7
    assert answer("keep", state).state == "confirmed"
    wait_for_static_sets(inside, state, second)
    kept = read_confirmed(state.boot)
    assert kept is not None
    assert sorted(one.name for one in kept.sets) == second
    apply(state, 3, sequence=3)
    assert answer("keep", state).state == "confirmed"
    wait_for_static_sets(inside, state, [])
    assert not (state.boot / "sets").exists()


def test_an_unchanged_list_keeps_its_set_and_counters(inside: Namespace, state: StateDirectory) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    first = named(inside)
    hits = f"-exist add {first[0]} 20.0.0.0/26 packets 7 bytes 420 comment p22n40"
    inside.run("ipset", *hits.split())
    apply(state, 70, sequence=2)
    assert named(inside) == static_sets_in(inside) == first
    assert read_static_sets()[first[0]].elements["20.0.0.0/26"].packets == 7


def test_a_roll_back_needs_the_previous_sets_and_leaves_only_them(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    apply(state, 70, sequence=1)
    answer("keep", state)
    first, before = named(inside, backend), held(inside, backend)
    apply(state, 71, sequence=2)
    assert named(inside, backend) != first
    # Nothing uses them while the window is open, so another program can destroy them.
    for name in first:
        inside.run("ipset", "destroy", name)
    assert answer("rollback", state).state == "rolled_back"
    assert held(inside, backend) == before
    assert static_sets_in(inside) == first
    assert [len(one.elements) for one in read_static_sets().values()] == [70, 70]


def test_a_first_apply_that_is_rolled_back_leaves_no_set(inside: Namespace, state: StateDirectory) -> None:
    apply(state, 70, sequence=1)
    assert answer("rollback", state).state == "rolled_back"
    wait_for_static_sets(inside, state, [])


def test_a_restore_that_fails_leaves_no_new_set(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    first, before = static_sets_in(inside), held(inside, "nft")
    (tmp_path / "bin").mkdir()
    saboteur = Saboteur(tmp_path / "bin", "nft")
    monkeypatch.setenv("PATH", saboteur.path)
    saboteur.on(6, "echo no >&2; exit 1")
    outcome = run(order(long_list(71), sequence=2), state)
    assert (outcome.state, outcome.error and outcome.error.step) == ("failed", "load-ipv6")
    wait_for_static_sets(inside, state, first)
    assert held(inside, "nft") == before


@pytest.mark.parametrize(
    "script",
    [
        'case "$*" in *"-exist restore"*) head -n 40 | "$REAL" "$@"; echo killed >&2; exit 1;; esac',
        'case "$*" in *"-exist restore"*) head -n 40 | "$REAL" "$@"; exit 0;; esac',
        'case "$*" in *"-exist restore"*) "$REAL" "$@"; kill -9 $$;; esac',
    ],
    ids=["fails half way", "says it worked", "is killed after"],
)
def test_an_ipset_that_fails_changes_no_rule_and_leaves_no_set(
    inside: Namespace,
    state: StateDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
) -> None:
    before = held(inside, "nft")
    program = tmp_path / "ipset"
    program.write_text(f'#!/bin/sh\nREAL=/usr/sbin/ipset\n{script}\nexec "$REAL" "$@"\n')
    program.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path), prepend=":")
        outcome = run(order(long_list(70), sequence=1), state)
    assert (outcome.state, outcome.error and outcome.error.step) == ("failed", "sets")
    assert outcome.error is not None
    assert "Nothing was changed" in outcome.error.summary
    wait_for_static_sets(inside, state, [])
    assert held(inside, "nft") == before


def test_a_set_that_changes_during_the_load_fails_the_read_back(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    saboteur = Saboteur(tmp_path / "bin", "nft")
    monkeypatch.setenv("PATH", saboteur.path)
    saboteur.on(4, '"$REAL" "$@"; for s in $(ipset list -n); do ipset flush $s; done; exit 0')
    outcome = run(order(long_list(70), sequence=1), state)
    assert (outcome.state, outcome.error and outcome.error.step) == ("failed", "read-back")
    assert outcome.error is not None
    assert "ipsets of sources" in outcome.error.summary
    wait_for_static_sets(inside, state, [])
    assert not any("FILTERS" in line for lines in held(inside, "nft").values() for line in lines)


def test_leftovers_of_a_killed_apply_are_used_or_destroyed(inside: Namespace, state: StateDirectory) -> None:
    fill_static_sets([numbered(9), numbered(70)])
    inside.run("ipset", "create", "dockerfw4-t0123456789abcdef0123", "hash:net")
    apply(state, 70, sequence=1)
    answer("keep", state)
    assert static_sets_in(inside) == named(inside)


def test_a_small_document_needs_no_ipset(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ipset"
    program.write_text("#!/bin/sh\necho broken >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    outcome = run(order(document("22")), state)
    assert (outcome.state, outcome.error) == ("awaiting", None)
    assert answer("keep", state).state == "confirmed"


def test_the_boot_script_loads_the_sets_before_the_rules(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    apply(state, 70, sequence=1)
    answer("keep", state)
    sets = static_sets_in(inside)
    script = str(state.boot / "dockerfw-boot.sh")
    before = [line for line in inside.save(backend).decode().splitlines() if line[:1] in "-:"]
    # Again over what is loaded and was edited since.
    inside.run("ipset", "flush", sets[0])
    inside.run("ipset", "add", sets[1], "2001:db8:ffff::/64", check=False)
    inside.run(script)
    assert [len(one.elements) for one in read_static_sets().values()] == [70, 70]
    _clear(inside, backend)
    for _ in range(2):
        inside.run(script)
        assert static_sets_in(inside) == sets
        assert [len(one.elements) for one in read_static_sets().values()] == [70, 70]
        after = [line for line in inside.save(backend).decode().splitlines() if line[:1] in "-:"]
        assert [line for line in after if FILTERS_HOST in line] == [
            line for line in before if FILTERS_HOST in line
        ]


def test_a_boot_without_sets_closes_the_host(
    inside: Namespace, state: StateDirectory, tmp_path: Path
) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    _clear(inside, "nft")
    (state.boot / "sets").write_text("create dockerfw4-s hash:nothing\n")
    done = inside.run(str(state.boot / "dockerfw-boot.sh"), check=False)
    assert done.returncode == 1
    assert b"sets could not be loaded" in done.stderr
    for family in FAMILIES:
        rules = [
            line for line in held(inside, "nft")[family] if line.startswith("[") and FILTERS_HOST in line
        ]
        assert [line.partition(" ")[2] for line in rules] == [
            "-A INPUT -j FILTERS-HOST",
            "-A FILTERS-HOST -i lo -j RETURN",
            "-A FILTERS-HOST -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
            "-A FILTERS-HOST -j DROP",
        ]


def _clear(namespace: Namespace, backend: Backend) -> None:
    """Take everything out of the kernel, as a boot does."""
    for family in FAMILIES:
        namespace.restore("*filter\nCOMMIT\n", backend, family, noflush=False)
    namespace.run("ipset", "destroy")


@pytest.mark.parametrize("point", ["static-sets-filled", "after-sets", "loaded-ipv4", "report-settled"])
def test_an_apply_that_is_killed_leaves_the_previous_rules_and_sets(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    first, before = static_sets_in(inside), held(inside, "nft")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / point).touch()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("dockerfw.host.hooks._DIRECTORY", str(hooks))
        run(order(long_list(71), sequence=2), state)
        os._exit(0)
    reached = hooks / "reached"
    wait_until(point, lambda: reached.exists() and f"{point} " in reached.read_text())
    assert len(static_sets_in(inside)) == 4
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (hooks / point).unlink()
    with state.lock():
        end_if_due(state)
    wait_until("the end of the window", lambda: not state.has_window())
    wait_for_static_sets(inside, state, first)
    assert held(inside, "nft") == before


def test_a_list_that_expires_starts_at_the_apply_and_stays_as_it_is(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    rule = {"scope": "host", "sources": list(networks(9)), "protocol": "tcp", "ports": ["22"], "id": "k3f9"}
    settings = {"external_interfaces": ["ens33"]}
    value = {
        "format": "dockerfw/2",
        "settings": settings,
        "rules": [{**rule, "expires": "2037-01-31T18:00:00Z"}],
    }
    starts = []
    for sequence in (1, 2):
        outcome = run(order(value, sequence=sequence), state)
        assert outcome.state == "awaiting", outcome.error
        assert answer("keep", state, sequence=sequence).state == "confirmed"
        lines = [line for line in held(inside, backend)[4] if "--datestop" in line]
        assert [line.count("--match-set") for line in lines] == [1]
        starts.append(lines[0].partition("--datestart ")[2].split()[0])
    assert starts[0] == starts[1] >= utc_now()[:10]


def test_a_window_that_nobody_answers_leaves_the_previous_sets(
    inside: Namespace, state: StateDirectory
) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    first, before = static_sets_in(inside), held(inside, "nft")
    outcome = run(order(long_list(71), sequence=2), state, window_seconds=1)
    assert outcome.state == "awaiting", outcome.error
    wait_until("the watchdog's end of the window", lambda: not state.has_window())
    wait_for_static_sets(inside, state, first)
    assert held(inside, "nft") == before


def test_a_worker_without_the_boot_unit_loads_the_sets_after_a_boot(
    inside: Namespace, state: StateDirectory
) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    sets, before = static_sets_in(inside), held(inside, "nft")
    _clear(inside, "nft")
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n")
    _reboot(state)
    assert load_after_boot(state)
    assert static_sets_in(inside) == sets
    assert [len(one.elements) for one in read_static_sets().values()] == [70, 70]
    assert _rules(held(inside, "nft")[4]) == _rules(before[4])


def test_a_restored_backup_boots_with_its_sets(inside: Namespace, state: StateDirectory) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    sets = static_sets_in(inside)
    members = state_take(state)
    apply(state, 3, sequence=2)
    answer("keep", state, sequence=2)
    wait_for_static_sets(inside, state, [])
    note = RestoreNote(state.path, backup=utc_now(), aside="before", settings=False)
    # The watchdog needs a moment to see that its window is closed.
    stored = state_check(members)
    with state_lock(state), state_replace(state, stored, sequence=9, aside="before", note=note):
        pass
    kept = read_confirmed(state.boot)
    assert kept is not None
    assert sorted(one.name for one in kept.sets) == sets
    inside.run(str(state.boot / "dockerfw-boot.sh"))
    assert static_sets_in(inside) == sets
    # Self-repair has the contents too, although the backup has no loaded rules.
    inside.run("ipset", "flush", sets[0])
    fill_static_sets(kept.sets)
    assert [len(one.elements) for one in read_static_sets().values()] == [70, 70]


def test_the_doctor_loads_the_sets_of_the_boot_files(inside: Namespace, state: StateDirectory) -> None:
    apply(state, 70, sequence=1)
    answer("keep", state)
    facts = boot_facts(state, unit=None)
    assert (facts.refused, list(facts.missing), list(facts.different)) == ({}, [], [])
    (state.boot / "sets").write_text("create dockerfw4-s hash:nothing\n")
    facts = boot_facts(state, unit=None)
    assert facts.refused is not None
    assert "hash:nothing" in facts.refused["sets"]
    assert list(facts.different) == ["sets"]
    (state.boot / "sets").unlink()
    assert list(boot_facts(state, unit=None).missing) == ["sets"]


def _reboot(state: StateDirectory) -> None:
    """Let the confirmed revision be one of an earlier boot."""
    stop_watchdogs(state)
    path = state.boot / CONFIRMED
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "earlier"}))


def _rules(lines: list[str]) -> list[str]:
    return [line.partition(" ")[2] for line in lines if "FILTERS" in line and line.startswith("[")]
