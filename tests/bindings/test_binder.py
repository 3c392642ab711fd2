"""The bound sets through applies, windows and their ends, on the real kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.agent import apply
from dockerfw.bindings import binder as binder_module
from dockerfw.bindings.binder import Binder
from dockerfw.chains.bound_sets import BOUND_SETS
from dockerfw.chains.match_groups import USUAL
from dockerfw.host import loading, runner
from dockerfw.host.bound_sets import create_bound_sets, read_bound_sets
from dockerfw.host.loading import load
from dockerfw.messages.codec import load_json
from dockerfw.messages.events import ConsoleEvent
from dockerfw.store import bound_sets as store
from dockerfw.store.bound_sets import (
    describe_binder_problem,
    has_bound_record,
    read_bound_record,
    write_bound_record,
)
from dockerfw.store.set_changes import read_set_change
from dockerfw.store.state import StateDirectory
from tests.rig.bound_sets import (
    ALL,
    BRIDGES,
    PROXIES,
    PROXY,
    PROXY_6,
    add_bridge,
    any_address,
    published,
    sets_in,
)
from tests.rig.docker_proxy import docker_proxy
from tests.rig.host_states import (
    HOST,
    add_foreign,
    answer,
    document,
    held,
    let_window_pass,
    order,
    run,
    stop_watchdogs,
)
from tests.rig.namespace import Backend, Family, Namespace, wait_until

pytestmark = pytest.mark.kernel


def look(state: StateDirectory) -> bool:
    """Have the binder look at everything once."""
    return Binder(state, host=HOST).bind(whole=True)


def wait_for_sets(namespace: Namespace, state: StateDirectory, wanted: set[str]) -> None:
    """Look until these sets are left: the kernel frees removed rules, and what they name, a moment later."""
    wait_until(f"the sets {wanted}", lambda: sets_in(namespace) == wanted or (look(state) and False))


def keep(state: StateDirectory, value: dict[str, object], sequence: int) -> None:
    """Load a document and keep it; both must work."""
    outcome = run(order(value, sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state, sequence=sequence).state == "confirmed"


def events(state: StateDirectory) -> list[ConsoleEvent]:
    """Return the events on disk."""
    return [
        ConsoleEvent.from_json(load_json(path.read_bytes())) for path in state.journal.glob("console-*.json")
    ]


def test_an_apply_fills_the_sets_that_its_rules_name(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_bridge(inside)
    with docker_proxy(inside, 8080):
        outcome = run(order(published("8080", reach="allow")), state)
        assert outcome.state == "awaiting", outcome.error
        assert [step.name for step in outcome.steps][2:5] == ["snapshot", "sets", "rehearse"]
        assert outcome.steps[3].detail == "4 ipsets with 3 members"
        assert read_bound_sets() == {
            **dict.fromkeys(ALL, ()),
            PROXY: any_address(8080),
            BRIDGES: ("172.17.0.0/16,docker0",),
        }
        assert answer("keep", state).state == "confirmed"
        assert look(state)
    assert read_bound_sets()[PROXY] == any_address(8080)
    assert look(state)
    assert read_bound_sets()[PROXY] == ()


def test_an_apply_writes_the_record_before_the_sets_only_where_it_says_something_else(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_bridge(inside)
    done: list[str] = []
    really_write, really_create = store.write_bound_record, create_bound_sets

    def write(state: StateDirectory, record: store.BoundRecord) -> None:
        done.append("write")
        really_write(state, record)

    def create(names: Iterable[str]) -> None:
        assert has_bound_record(state)
        done.append("create")
        really_create(names)

    monkeypatch.setattr(binder_module, "write_bound_record", write)
    monkeypatch.setattr(binder_module, "create_bound_sets", create)
    keep(state, published("8080", reach="allow"), sequence=1)
    assert done == ["write", "create", "write"]
    before = read_bound_record(state)
    done.clear()
    keep(state, published("8081", reach="allow"), sequence=2)
    assert done == ["create", "write"]
    assert read_bound_record(state).looked > before.looked
    done.clear()
    value = published("8081", reach="allow")
    settings = {**dict(value["settings"]), "external_interfaces": ["ens33", "ens34"]}
    keep(state, {**value, "settings": settings}, sequence=3)
    assert done == ["write", "create", "write"]


def test_a_document_without_such_rules_needs_no_ipset(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide_ipset(monkeypatch, tmp_path)
    outcome = run(order(document("22")), state)
    assert outcome.state == "awaiting", outcome.error
    assert "sets" not in {step.name for step in outcome.steps}
    assert not has_bound_record(state)


def hide_ipset(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Leave every command but ipset in the path."""
    for place in ("/usr/sbin", "/usr/bin", "/bin", "/sbin"):
        for program in Path(place).iterdir():
            link = folder / "path" / program.name
            link.parent.mkdir(exist_ok=True)
            if program.name != "ipset" and not link.is_symlink():
                link.symlink_to(program)
    monkeypatch.setenv("PATH", str(folder / "path"))
    monkeypatch.setattr(runner, "_SYSTEM_PATH", str(folder / "path"))


def test_an_apply_is_refused_where_ipset_is_missing(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_foreign(inside, "nft")
    before = held(inside, "nft")
    hide_ipset(monkeypatch, tmp_path)
    # It was there when the rules were compiled; without it they would match no sets.
    monkeypatch.setattr(apply, "ip_set_limits", lambda: USUAL)
    outcome = run(order(published("8080")), state)
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.step == "sets"
    assert "Install the package ipset" in outcome.error.summary
    assert outcome.error.summary.endswith("Nothing was changed in the kernel.")
    assert (held(inside, "nft"), state.read_window()) == (before, None)


def test_an_apply_is_refused_where_the_kernel_has_no_sets(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide_ipset(monkeypatch, tmp_path)
    fake = tmp_path / "path" / "ipset"
    fake.write_text("#!/bin/sh\necho 'ipset v7.17: Cannot open session to kernel.' >&2\nexit 1\n")
    fake.chmod(0o755)
    outcome = run(order(published("8080")), state)
    assert outcome.error is not None
    assert "Cannot open session to kernel" in outcome.error.summary
    assert "Install the package ipset" in outcome.error.summary


def test_the_sets_of_an_apply_that_fails_are_destroyed(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    before = held(inside, "nft")

    def refuse(*_: object, **__: object) -> None:
        assert sets_in(inside) == PROXIES
        raise apply.Refused("the rehearsal failed")

    monkeypatch.setattr(loading, "rehearse", refuse)
    assert run(order(published("8080")), state).state == "failed"
    assert (held(inside, "nft"), sets_in(inside)) == (before, set())
    assert not has_bound_record(state)


def test_a_load_that_fails_restores_and_destroys_its_sets(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    before = held(inside, "nft")

    def fail(backend: Backend, family: Family, text: str) -> None:
        if family == 6:
            raise apply.Refused("no IPv6")
        load(backend, 4, text)

    monkeypatch.setattr(apply, "load", fail)
    outcome = run(order(published("8080")), state)
    assert outcome.error is not None
    assert outcome.error.step == "load-ipv6"
    assert (held(inside, "nft"), sets_in(inside)) == (before, set())


def test_a_roll_back_restores_rules_whose_sets_another_program_destroyed(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    with docker_proxy(inside, 8080):
        keep(state, published("8080"), 1)
        before = held(inside, backend)
        outcome = run(order(document("22"), sequence=2), state)
        assert outcome.state == "awaiting", outcome.error
        # No look of the binder destroys what the rules before may need.
        assert look(state)
        assert sets_in(inside) == PROXIES
        inside.run("ipset", "destroy")
        assert answer("rollback", state, sequence=2).state == "rolled_back"
        assert held(inside, backend) == before
        assert look(state)
        assert read_bound_sets()[PROXY] == any_address(8080)


def test_sets_that_no_revision_needs_are_destroyed_after_keep(
    inside: Namespace, state: StateDirectory
) -> None:
    keep(state, published("8080", reach="allow"), 1)
    assert run(order(published("8080"), sequence=2), state).state == "awaiting"
    assert look(state)
    assert sets_in(inside) == ALL
    assert answer("keep", state, sequence=2).state == "confirmed"
    assert look(state)
    wait_for_sets(inside, state, PROXIES)
    keep(state, document("22"), 3)
    assert sets_in(inside) == PROXIES
    wait_for_sets(inside, state, set())
    assert not look(state)
    assert not has_bound_record(state)


def test_the_watchdog_rolls_back_with_everything_else_dead(inside: Namespace, state: StateDirectory) -> None:
    add_foreign(inside, "nft")
    keep(state, published("8080"), 1)
    before = held(inside, "nft")
    assert run(order(published("9090", reach="allow"), sequence=2), state).state == "awaiting"
    assert sets_in(inside) == ALL
    let_window_pass(state)
    wait_until("the roll back", lambda: state.read_window() is None)
    assert held(inside, "nft") == before
    assert look(state)
    wait_for_sets(inside, state, PROXIES)


def test_the_first_apply_that_is_not_kept_leaves_nothing(inside: Namespace, state: StateDirectory) -> None:
    before = held(inside, "nft")
    assert run(order(published("8080", reach="allow")), state).state == "awaiting"
    stop_watchdogs(state)
    assert answer("rollback", state).state == "rolled_back"
    wait_for_sets(inside, state, set())
    assert not look(state)
    assert not has_bound_record(state)
    assert [line for line in held(inside, "nft")[4] if "FILTERS" in line] == [
        line for line in before[4] if "FILTERS" in line
    ]


def test_contents_that_another_program_changed_are_filled_again_and_reported(
    inside: Namespace, state: StateDirectory
) -> None:
    with docker_proxy(inside, 8080):
        keep(state, published("8080"), 1)
        assert look(state)
        assert events(state) == []
        inside.run("ipset", "flush", PROXY)
        inside.run("ipset", "add", PROXY_6, "::/1,tcp:22")
        assert look(state)
        assert (read_bound_sets()[PROXY], read_bound_sets()[PROXY_6]) == (any_address(8080), ())
        (event,) = events(state)
        assert event.verb == "sets-refilled"
        assert f"{PROXY} and {PROXY_6}" in event.detail
        # A program that does so all the time is not reported all the time.
        inside.run("ipset", "flush", PROXY)
        assert look(state)
        assert read_bound_sets()[PROXY] == any_address(8080)
        assert len(events(state)) == 1


def test_a_change_of_the_host_is_no_change_by_others(inside: Namespace, state: StateDirectory) -> None:
    keep(state, published("8080"), 1)
    with docker_proxy(inside, 8080):
        assert look(state)
        assert read_bound_sets()[PROXY] == any_address(8080)
        change = read_set_change(state)
        assert change is not None
        assert change.text == "the addresses of containers changed"
        assert look(state)
        assert read_set_change(state) == change
    assert look(state)
    assert read_set_change(state) != change
    assert events(state) == []


def test_what_cannot_be_read_is_told_and_then_allows_nothing(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with docker_proxy(inside, 8080):
        keep(state, published("8080"), 1)

        def fail(*_: object) -> None:
            raise runner.CommandFailed(("ss",), "failed", 1, "no sockets")

        with monkeypatch.context() as patched:
            patched.setattr(binder_module, "read_bound_members", fail)
            assert look(state)
            assert describe_binder_problem(state) == "`ss` failed: no sockets"
            # For a moment the sets keep what they have.
            assert read_bound_sets()[PROXY] == any_address(8080)
            record = read_bound_record(state)
            write_bound_record(state, replace(record, failing=record.failing - 61))
            assert look(state)
            assert read_bound_sets()[PROXY] == ()
        assert look(state)
        assert (describe_binder_problem(state), read_bound_sets()[PROXY]) == ("", any_address(8080))


def test_a_binder_that_does_not_look_is_told(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(state, published("8080"), 1)
    assert describe_binder_problem(state) == ""
    record = read_bound_record(state)
    write_bound_record(state, replace(record, looked=record.looked - 500))
    assert "has not looked for 50" in describe_binder_problem(state)
    # After a boot nothing has looked, however long ago the last look was.
    write_bound_record(state, replace(record, boot="an earlier one"))
    monkeypatch.setattr(store, "boottime", lambda: 199.0)
    assert describe_binder_problem(state) == ""
    monkeypatch.setattr(store, "boottime", lambda: 201.0)
    assert "has not looked for 201 seconds" in describe_binder_problem(state)


def test_after_a_boot_the_sets_are_created_and_filled(inside: Namespace, state: StateDirectory) -> None:
    keep(state, published("8080"), 1)
    record = read_bound_record(state)
    for family in (4, 6):
        inside.restore("*filter\nCOMMIT\n", family=family, noflush=False)
    inside.run("ipset", "destroy")
    write_bound_record(state, replace(record, boot="an earlier one"))
    with docker_proxy(inside, 8080):
        assert look(state)
        assert read_bound_sets() == {PROXY: any_address(8080), PROXY_6: ()}
    assert events(state) == []
    assert set(BOUND_SETS) == ALL
