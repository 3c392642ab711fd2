"""The static sets in the real kernel: filled in one step, compared, carried over, and destroyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerfw.chains.static_sets import StaticSet, filling_text, hits_by_rule
from dockerfw.host import runner, static_sets
from dockerfw.host.bound_sets import SetsFailed
from dockerfw.host.runner import Command, CommandFailed
from dockerfw.host.static_sets import (
    create_missing_sets,
    destroy_static_sets,
    fill_static_sets,
    find_ip_set_fault,
    lacks_ip_set,
    list_static_sets,
    read_static_sets,
)
from tests.rig.namespace import Backend, Namespace
from tests.rig.static_sets import numbered, static_sets_in

pytestmark = pytest.mark.kernel

OFFICE = StaticSet(4, {"203.0.113.0/24": ("k3f9", "ab12"), "198.51.100.7": ("k3f9",)})
OFFICE_6 = StaticSet(6, {"2001:db8::/32": ("k3f9",), "::102:300/120": ("k3f9",), "::ffff:102:304": ("k3f9",)})


def test_sets_hold_what_they_were_filled_with(inside: Namespace) -> None:
    assert list_static_sets() == ()
    many = StaticSet(4, {f"192.0.2.{last}": tuple(f"r{n:06}" for n in range(60)) for last in range(1, 9)})
    sets = [OFFICE, OFFICE_6, many, *(numbered(count) for count in (1, 4, 5, 64))]
    assert fill_static_sets(sets) == tuple(one.name for one in sets)
    assert sorted(static_sets_in(inside)) == sorted(one.name for one in sets)
    assert fill_static_sets(sets) == ()
    held = read_static_sets()
    assert set(held[OFFICE_6.name].elements) == set(OFFICE_6.members)
    assert {name: len(one.elements) for name, one in held.items()} == {
        one.name: len(one.members) for one in sets
    }
    assert list(read_static_sets([OFFICE.name, numbered(2).name, "f2b"])) == [OFFICE.name]


@pytest.mark.parametrize(
    "edit",
    [
        ("flush", OFFICE.name),
        ("del", OFFICE.name, "198.51.100.7"),
        ("destroy", OFFICE.name),
        ("edit",),
    ],
    ids=["flushed", "half lost", "gone", "edited"],
)
def test_a_set_that_another_program_changed_is_filled_again(inside: Namespace, edit: tuple[str, ...]) -> None:
    fill_static_sets([OFFICE])
    if edit == ("edit",):
        inside.run("ipset", "del", OFFICE.name, "198.51.100.7")
        inside.run("ipset", "add", OFFICE.name, "198.51.100.8", "comment", "k3f9")
    else:
        inside.run("ipset", *edit)
    assert fill_static_sets([OFFICE, OFFICE_6]) == (OFFICE.name, OFFICE_6.name)
    assert set(read_static_sets()[OFFICE.name].elements) == set(OFFICE.members)


def test_what_a_killed_fill_left_is_used_up(inside: Namespace) -> None:
    lines = filling_text([OFFICE]).splitlines()
    for length in range(1, len(lines)):
        inside.run("ipset", "restore", stdin="\n".join(lines[:length]) + "\n")
        assert fill_static_sets([OFFICE]) in ((OFFICE.name,), ())
        destroy_static_sets([OFFICE.name])
        assert static_sets_in(inside) == [OFFICE.name], length
        destroy_static_sets()
    assert static_sets_in(inside) == []


def test_counters_go_on_in_the_next_set(inside: Namespace) -> None:
    fill_static_sets([OFFICE])
    inside.run(
        "ipset",
        "-exist",
        "add",
        OFFICE.name,
        "198.51.100.7",
        "packets",
        "3",
        "bytes",
        "180",
        "comment",
        "k3f9",
    )
    assert fill_static_sets([OFFICE]) == ()
    longer = StaticSet(4, {**OFFICE.members, "192.0.2.1": ("k3f9",)})
    fill_static_sets([longer])
    assert hits_by_rule([read_static_sets()[longer.name]]) == {"k3f9": (3, 180), "ab12": (0, 0)}


def test_a_set_that_a_rule_uses_is_filled_and_never_destroyed(inside: Namespace, backend: Backend) -> None:
    fill_static_sets([OFFICE, numbered(5)])
    rule = f"-m set --match-set {OFFICE.name} src -j ACCEPT"
    inside.iptables("-A", "INPUT", *rule.split(), backend=backend)
    inside.run("ipset", "flush", OFFICE.name)
    fill_static_sets([OFFICE])
    inside.run("ipset", "create", "f2b-sshd", "hash:ip")
    assert destroy_static_sets([numbered(5).name]) == ()
    assert destroy_static_sets() == (numbered(5).name,)
    assert inside.output("ipset", "list", "-n").split() == ["f2b-sshd", OFFICE.name]


def test_missing_sets_are_created_from_what_is_known_or_empty(inside: Namespace) -> None:
    create_missing_sets([OFFICE.name, OFFICE_6.name, "dockerfw4-proxy"], [OFFICE, numbered(5)])
    held = read_static_sets()
    assert {name: len(one.elements) for name, one in held.items()} == {OFFICE.name: 2, OFFICE_6.name: 0}


def test_a_thousand_sets_and_a_large_one(inside: Namespace) -> None:
    sets = [numbered(6, first=6 * n) for n in range(1000)]
    sets += [numbered(count) for count in (65_537, 100_000)]
    fill_static_sets(sets)
    assert fill_static_sets(sets) == ()
    assert len(destroy_static_sets()) == 1002


def test_a_set_of_another_type_is_named(inside: Namespace) -> None:
    inside.run("ipset", "create", OFFICE.name, "hash:ip")
    with pytest.raises(SetsFailed, match=f"ipset {OFFICE.name} exists and is not dockerfw's"):
        fill_static_sets([OFFICE])


def test_a_member_that_is_none_never_reaches_ipset(inside: Namespace) -> None:
    inside.run("ipset", "create", "f2b-sshd", "hash:ip")
    with pytest.raises(SetsFailed, match="is not a network"):
        fill_static_sets([StaticSet(4, {"192.0.2.1\ndestroy f2b-sshd": ("k3f9",)})])
    assert inside.output("ipset", "list", "-n") == "f2b-sshd\n"


def test_a_fill_that_fails_half_way_leaves_the_set_as_it_was(inside: Namespace, tmp_path: Path) -> None:
    fill_static_sets([OFFICE])
    inside.run("ipset", "del", OFFICE.name, "198.51.100.7")
    # The kernel refuses an element twice only without -exist, an IPv6 address always.
    wrong = StaticSet(4, {**OFFICE.members, "2001:db8::1": ("k3f9",)}, name=OFFICE.name)
    with pytest.raises(SetsFailed, match="cannot be read or filled"):
        fill_static_sets([wrong])
    assert set(read_static_sets()[OFFICE.name].elements) == {"203.0.113.0/24"}


@pytest.fixture
def _no_memory_of_faults() -> object:
    find_ip_set_fault.cache_clear()
    yield
    find_ip_set_fault.cache_clear()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "install the package ipset"),
        ("echo 'ipset v7.17: Kernel error received: Operation not permitted' >&2; exit 1", "NET_ADMIN"),
        ("echo 'ipset v7.17: Cannot open session to kernel.' >&2; exit 1", "ip_set_hash_net"),
        ("echo 'ipset v7.17: Kernel error received: set type not supported' >&2; exit 1", "ip_set_hash_net"),
    ],
    ids=["missing", "not permitted", "no kernel", "no type"],
)
@pytest.mark.usefixtures("_no_memory_of_faults")
def test_a_host_without_sets_is_told_in_one_sentence_what_it_lacks(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, words: str
) -> None:
    (tmp_path / "true").symlink_to("/bin/true")
    (tmp_path / "unshare").symlink_to("/usr/bin/unshare")
    if script is not None:
        (tmp_path / "ipset").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "ipset").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(runner, "_SYSTEM_PATH", str(tmp_path))
    with pytest.raises(SetsFailed, match=words) as caught:
        fill_static_sets([OFFICE])
    assert "\n" not in str(caught.value)
    # What is not permitted here says nothing about the host.
    assert static_sets.lacks_ip_set() is ("NET_ADMIN" not in words)


@pytest.mark.usefixtures("_no_memory_of_faults")
def test_this_kernel_has_sets(inside: Namespace) -> None:
    assert (find_ip_set_fault(), lacks_ip_set()) == ("", False)
    assert static_sets_in(inside) == []


@pytest.mark.usefixtures("_no_memory_of_faults")
def test_a_forked_process_knows_of_sets_and_asks_again_where_there_were_none(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[tuple[str, ...]] = []
    run = runner.run

    def count(command: Command) -> bytes:
        tries.append(command.words)
        if len(tries) == 2:
            raise CommandFailed(command.words, "failed", 1, "Cannot open session to kernel.")
        return run(command)

    monkeypatch.setattr(static_sets, "run", count)
    static_sets.remember_ip_set()
    assert len(tries) == 2
    static_sets.remember_ip_set()
    assert (len(tries), lacks_ip_set(), len(tries)) == (4, False, 4)
    # Without the command there are no sets, whatever the kernel can.
    monkeypatch.setattr(static_sets, "command_path", lambda: "/nowhere")
    assert lacks_ip_set()
