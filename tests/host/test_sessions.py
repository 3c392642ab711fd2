"""Sessions that are no longer allowed, on the real kernel: listed, and exactly these are ended after Keep."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import pytest

from dockerfw.chains.group_sets import bound_group_set
from dockerfw.document.values import Group
from dockerfw.host import sessions
from dockerfw.host.group_sets import fill_group_set
from dockerfw.host.observation import observe
from dockerfw.host.runner import Command, CommandFailed, run_all
from dockerfw.messages.outcomes import Outcome, Step
from dockerfw.messages.session_groups import SessionGroup, SessionGroups
from dockerfw.messages.snapshots import Snapshot
from dockerfw.reach.inbound import InboundSession
from dockerfw.store.state import StateDirectory
from dockerfw.window import window
from dockerfw.window.supervisor import Supervisor
from tests.rig.connections import ask, connect, listening
from tests.rig.host_states import answer, order, run, told
from tests.rig.namespace import Namespace, join_namespaces

ROOT = Path(__file__).parents[2]
HOST, HOST_6 = "192.0.2.1", "2001:db8::1"
ADMIN, CLIENT, CLIENT_6 = "192.0.2.3", "192.0.2.2", "2001:db8::2"
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
ADMINS = {"scope": "both", "source": f"{ADMIN}/32"}


@pytest.fixture
def client(inside: Namespace, make_namespace: Callable[..., Namespace]) -> Namespace:
    """A machine on the network of the host's external interface."""
    other = make_namespace("client")
    join_namespaces(inside, "ens33", other, "eth0")
    for namespace, name, addresses in (
        (inside, "ens33", (f"{HOST}/24", f"{HOST_6}/64")),
        (other, "eth0", (f"{ADMIN}/24", f"{CLIENT}/24", f"{CLIENT_6}/64")),
    ):
        namespace.add_addresses(name, *addresses)
    return other


@pytest.fixture
def opened(inside: Namespace, client: Namespace, state: StateDirectory) -> Iterator[dict[str, socket]]:
    """Sessions with a host that allows port 22 from anywhere: an admin's, a client's, the host's own."""
    apply(state, 1, SSH, ADMINS)
    assert answer("keep", state).state == "confirmed"
    with ExitStack() as stack:
        stack.enter_context(listening(inside, HOST, 22, "ssh"))
        stack.enter_context(listening(inside, HOST_6, 22, "ssh"))
        stack.enter_context(listening(client, CLIENT, 22, "outside"))
        found = {
            "admin": connect(client, HOST, 22, source=ADMIN),
            "client": connect(client, HOST, 22, source=CLIENT),
            "client by IPv6": connect(client, HOST_6, 22, source=CLIENT_6),
            "own": connect(inside, CLIENT, 22),
        }
        for connection in found.values():
            stack.enter_context(connection)
            assert talks(connection)
        yield found


def apply(state: StateDirectory, sequence: int, *rules: dict[str, Any], **changes: Any) -> Outcome:
    """Load a document and leave its window open."""
    settings = changes.pop("settings", {})
    value = {
        "format": changes.pop("format", "dockerfw/1"),
        "settings": {"external_interfaces": ["ens33"], **settings},
        "rules": list(rules),
        **({"groups": changes.pop("groups")} if "groups" in changes else {}),
    }
    outcome = run(order(value, sequence=sequence, **changes), state)
    assert outcome.state == "awaiting", outcome.error
    return outcome


def talks(connection: socket) -> bool:
    """Return True if a session is still open; an ended one fails at once."""
    try:
        return ask(connection, "are you there\n") != ""
    except (ConnectionError, IndexError):
        return False


def sessions_now() -> SessionGroups:
    """Return the sessions from outside."""
    found = observe("local").sessions
    assert found is not None
    return found


def lives(found: dict[str, socket]) -> set[str]:
    """Return the names of the sessions that are still open."""
    return {name for name, connection in found.items() if talks(connection)}


def step(outcome: Outcome) -> Step:
    """Return the step that ended sessions."""
    assert outcome.state == "confirmed"
    (found,) = (step for step in outcome.steps if step.name == "sessions")
    return found


def test_exactly_the_sessions_no_longer_allowed_end_after_keep(
    opened: dict[str, socket], state: StateDirectory
) -> None:
    apply(state, 2, ADMINS, end_sessions=True)
    assert lives(opened) == set(opened)
    outcome = answer("keep", state)
    assert (step(outcome).state, step(outcome).detail) == ("done", "2 sessions ended")
    assert [each.name for each in outcome.steps][-2:] == ["boot-files", "sessions"]
    assert lives(opened) == {"admin", "own"}


def many_sources(*more: str) -> dict[str, Any]:
    """Return a rule for ssh with more sources than are written as lines."""
    return {**SSH, "sources": [*(f"203.0.113.{last}" for last in range(1, 9)), *more], "id": "long"}


@pytest.mark.parametrize("drifted", [False, True])
def test_sessions_that_a_list_allowed_end_too(
    inside: Namespace, opened: dict[str, socket], state: StateDirectory, drifted: bool
) -> None:
    apply(state, 2, many_sources(CLIENT, ADMIN), format="dockerfw/2")
    answer("keep", state, sequence=2)
    if drifted:
        inside.iptables("-D", "FILTERS-HOST", "1")
    apply(state, 3, many_sources(ADMIN), format="dockerfw/2", end_sessions=True)
    outcome = answer("keep", state, sequence=3)
    if drifted:
        # The rules that were loaded cannot be read back, so nothing is guessed.
        assert step(outcome).state == "failed"
        assert "cannot be read back" in step(outcome).detail
        assert lives(opened) == set(opened)
    else:
        assert (step(outcome).state, step(outcome).detail) == ("done", "1 session ended")
        assert lives(opened) == set(opened) - {"client"}


def test_sessions_of_lists_end_as_far_as_the_lists_are_read(
    opened: dict[str, socket], state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {name: {"kind": "feed", "url": f"https://example.org/{name}"} for name in ("short", "long")}
    rules = [{**SSH, "id": f"{name}4", "sources": [f"@{name}"]} for name in groups]
    admins = {"scope": "both", "sources": [f"{ADMIN}/32"]}
    apply(state, 2, *rules, admins, format="dockerfw/2", groups=groups)
    answer("keep", state, sequence=2)
    short, long = (Group(name, "feed", url=group["url"]) for name, group in groups.items())
    fill_group_set(bound_group_set(short, 4), [CLIENT])
    fill_group_set(bound_group_set(long, 6), [CLIENT_6, "2001:db8:9::/48"])
    monkeypatch.setattr(sessions, "MOST_LIST_MEMBERS", 2)
    apply(state, 3, admins, format="dockerfw/2", end_sessions=True)
    ended = step(answer("keep", state, sequence=3))
    said = "1 session ended; connections that removed rules with long lists have allowed may continue"
    assert (ended.state, ended.detail) == ("failed", said)
    assert lives(opened) == set(opened) - {"client"}


@pytest.mark.parametrize(
    "condition",
    [
        {"limit": "600/minute"},
        {"expires": "2037-01-01T00:00:00Z"},
        {"expires": "2026-01-01T00:00:00Z"},
        {"to": HOST},
        {"interface": "ens+"},
    ],
    ids=str,
)
def test_sessions_of_a_rule_with_a_condition_end_too(
    opened: dict[str, socket], state: StateDirectory, condition: dict[str, Any]
) -> None:
    admins = {"scope": "both", "sources": [f"{ADMIN}/32"]}
    apply(state, 2, {**SSH, **condition}, admins, format="dockerfw/2")
    answer("keep", state, sequence=2)
    apply(state, 3, admins, format="dockerfw/2", end_sessions=True)
    outcome = answer("keep", state, sequence=3)
    ended = {"client"} if "to" in condition else {"client", "client by IPv6"}
    detail = "1 session ended" if "to" in condition else "2 sessions ended"
    assert (step(outcome).state, step(outcome).detail) == ("done", detail)
    assert lives(opened) == set(opened) - ended


def test_no_session_ends_unless_the_order_says_so(opened: dict[str, socket], state: StateDirectory) -> None:
    apply(state, 2, ADMINS)
    outcome = answer("keep", state)
    assert outcome.state == "confirmed"
    assert [each.name for each in outcome.steps][-1] == "boot-files"
    assert lives(opened) == set(opened)


def test_a_roll_back_ends_no_session(opened: dict[str, socket], state: StateDirectory) -> None:
    apply(state, 2, ADMINS, end_sessions=True)
    assert answer("rollback", state).state == "rolled_back"
    assert lives(opened) == set(opened)


def test_a_session_started_after_the_load_stays_open(
    opened: dict[str, socket], client: Namespace, state: StateDirectory
) -> None:
    apply(state, 2, ADMINS, end_sessions=True)
    with connect(client, HOST, 22, source=ADMIN) as later:
        assert step(answer("keep", state)).detail == "2 sessions ended"
        assert talks(later)


def test_no_session_had_to_be_ended(opened: dict[str, socket], state: StateDirectory) -> None:
    apply(state, 2, SSH, ADMINS, end_sessions=True)
    assert step(answer("keep", state)).detail == "no session had to be ended"
    assert lives(opened) == set(opened)


def test_the_first_apply_ends_no_session(inside: Namespace, client: Namespace, state: StateDirectory) -> None:
    inside.iptables("-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
    with listening(inside, HOST, 22), connect(client, HOST, 22) as session:
        apply(state, 1, end_sessions=True)
        assert step(answer("keep", state)).detail == "no session had to be ended"
        assert talks(session)


class Killed(BaseException):
    """Stands for kill -9 in a test within one process."""


@pytest.mark.parametrize("point", ["keep-switched", "sessions-begin", "sessions-ended"])
def test_a_kill_between_keep_and_the_ending_of_sessions_is_completed_at_the_next_start(
    opened: dict[str, socket], state: StateDirectory, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def killed(reached: str) -> None:
        if reached == point:
            raise Killed

    apply(state, 2, ADMINS, end_sessions=True)
    one = state.read_last_order().apply
    with monkeypatch.context() as patch:
        patch.setattr(window, "checkpoint", killed)
        with pytest.raises(Killed):
            answer("keep", state)
    Supervisor(state, on_closed=lambda: None).start()
    last = told(state, order({"format": "dockerfw/1"}, apply=one))[-1]
    assert step(last).detail == (
        "no session had to be ended" if point == "sessions-ended" else "2 sessions ended"
    )
    assert lives(opened) == {"admin", "own"}
    assert state.read_window() is None


def test_without_conntrack_the_revision_is_confirmed_and_the_reason_reported(
    opened: dict[str, socket], state: StateDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sessions, "command_path", lambda: str(tmp_path))
    apply(state, 2, ADMINS, end_sessions=True)
    assert observe("local").sessions is None
    found = step(answer("keep", state))
    assert (found.state, found.detail) == (
        "failed",
        "they continue: conntrack is not installed on this host (Debian package conntrack)",
    )
    assert lives(opened) == set(opened)


@pytest.mark.parametrize(
    ("script", "words", "ended"),
    [
        ("echo no >&2; exit 2", "they continue: `conntrack -L", False),
        (
            'case "$1" in -D) echo no >&2; exit 2;; esac',
            "0 sessions ended; 2 could not be ended:",
            True,
        ),
    ],
)
def test_a_failing_conntrack_is_reported_and_undoes_nothing(
    opened: dict[str, socket],
    state: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script: str,
    words: str,
    ended: bool,
) -> None:
    program = tmp_path / "conntrack"
    program.write_text(f'#!/bin/sh\n{script}\nexec /usr/sbin/conntrack "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    apply(state, 2, ADMINS, end_sessions=True)
    found = step(answer("keep", state))
    assert found.state == "failed"
    assert found.detail.startswith(words)
    # If only the deletion failed, the host has already closed its own end.
    assert lives(opened) == ({"admin", "own"} if ended else set(opened))


@pytest.mark.parametrize(("words", "told"), [("-4", False), ("-6", True), ("address", False)])
def test_sessions_end_on_a_kernel_without_ipv6(
    opened: dict[str, socket],
    state: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: str,
    told: bool,
) -> None:
    program = tmp_path / "ip"
    script = f'case "$*" in *" {words} "*) echo no >&2; exit 2;; esac\nexec /sbin/ip "$@"'
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert (observe("local").sessions is not None) is told
    apply(state, 2, ADMINS, end_sessions=True)
    found = step(answer("keep", state))
    # Without IPv6 routes the origin of an IPv6 session is unknown, so it stays open.
    assert (found.state, found.detail == "1 session ended") == ("done" if told else "failed", told)
    assert lives(opened) == (set(opened) - {"client"} if told else set(opened))


def test_icmp_and_udp_sessions_end_too(inside: Namespace, client: Namespace, state: StateDirectory) -> None:
    apply(state, 1, {"scope": "host", "protocol": "udp", "ports": ["53"]})
    answer("keep", state)
    answering = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.bind(('{HOST}', 53)); print('ready', flush=True)\n"
        "while True: s.sendto(*s.recvfrom(99))"
    )
    asking = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60)\n"
        f"s.sendto(b'hello', ('{HOST}', 53)); s.recv(99)"
    )
    server = subprocess.Popen(
        [*inside.prefix, sys.executable, "-c", answering], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        client.run(sys.executable, "-c", asking)
    finally:
        server.kill()
        server.communicate()
    client.run("busybox", "ping", "-c", "1", HOST)
    client.run("busybox", "ping6", "-c", "1", HOST_6)
    seen = sessions_now()
    assert {(each.inbound.protocol, each.inbound.port, each.count) for each in seen.groups} >= {
        ("udp", 53, 1),
        ("icmp", None, 1),
        ("ipv6-icmp", None, 1),
    }
    apply(state, 2, settings={"icmp": "refuse"}, end_sessions=True)
    outcome = step(answer("keep", state))
    assert outcome.detail.endswith("sessions ended"), outcome.detail
    left = sessions_now()
    # Neighbour discovery may have added sessions meanwhile; it is always allowed.
    assert {each.inbound.protocol for each in left.groups}.isdisjoint({"udp", "icmp"})


def test_a_snapshot_lists_the_sessions_from_outside(opened: dict[str, socket], client: Namespace) -> None:
    with connect(client, HOST, 22, source=CLIENT):
        snapshot = observe("local")
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    assert snapshot.sessions is not None
    assert snapshot.sessions.whole
    tcp = {group for group in snapshot.sessions.groups if group.inbound.protocol == "tcp"}

    def group(family: Any, source: str, count: int) -> SessionGroup:
        dialled = HOST if family == 4 else HOST_6
        found = InboundSession("host", family, "tcp", source, 22, 22, ("ens33",), dialled=dialled)
        return SessionGroup.of(found, count)

    assert tcp == {group(4, ADMIN, 1), group(4, CLIENT, 2), group(6, CLIENT_6, 1)}


def test_a_snapshot_has_sessions_before_the_first_load_which_may_cut_them(
    inside: Namespace, client: Namespace
) -> None:
    with listening(inside, HOST, 22), connect(client, HOST, 22):
        assert observe("local").sessions == SessionGroups()
    inside.iptables("-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
    with listening(inside, HOST, 22), connect(client, HOST, 22):
        seen = observe("local").sessions
    assert seen is not None
    assert [(group.place, group.port) for group in seen.groups] == [("host", 22)]


def test_too_many_connections_are_not_listed(
    opened: dict[str, socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_LISTED", 1)
    assert sessions_now() == SessionGroups(whole=False)


def test_too_many_connections_are_not_examined(
    opened: dict[str, socket], state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_EXAMINED", 1)
    apply(state, 2, ADMINS, end_sessions=True)
    found = step(answer("keep", state))
    assert found.state == "failed"
    assert "connections, and at most 1 are examined" in found.detail
    assert lives(opened) == set(opened)


def test_sessions_that_take_too_long_to_judge_are_not_ended(
    opened: dict[str, socket], state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "EXAMINING_SECONDS", -1.0)
    apply(state, 2, ADMINS, end_sessions=True)
    found = step(answer("keep", state))
    assert found.state == "failed"
    assert "examining the sessions took more than -1 s" in found.detail
    assert lives(opened) == set(opened)
    assert not state.has_window()


def test_the_root_workers_capabilities_are_enough(opened: dict[str, socket], inside: Namespace) -> None:
    code = """
from dockerfw.host.privileges import NEEDED, keep_only
from dockerfw.host.sessions import _OutsideSessions, _delete, _kill_socket, _read_routing
from dockerfw.host.runner import run
print(sorted(keep_only(NEEDED)))
for session, inbound in _OutsideSessions(_read_routing()).examine():
    if inbound.source == "192.0.2.2":
        run(_kill_socket(session))
        run(_delete(session))
"""
    done = inside.run(sys.executable, "-c", code, check=False, environment={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == ["[12,", "13]"]
    assert lives(opened) == {"admin", "client by IPv6", "own"}


def test_conntrack_is_not_asked_where_the_kernel_tracks_nothing(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.iptables("-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
    asked: list[tuple[str, ...]] = []

    def count(commands: Sequence[Command]) -> list[bytes | CommandFailed]:
        asked.extend(command.words for command in commands)
        return run_all(commands)

    monkeypatch.setattr(sessions, "run_all", count)
    assert (observe("local").sessions, asked) == (SessionGroups(), [])
    with socket(AF_INET, SOCK_DGRAM) as sender:
        sender.sendto(b"", ("127.0.0.1", 9))
    assert observe("local").sessions == SessionGroups()
    assert [words[3] for words in asked] == ["ipv4", "ipv6"]
    # Of a kernel that does not say how many it tracks.
    monkeypatch.setattr(sessions, "count_tracked", lambda: None)
    assert sessions.list_tracked() == sessions.Tracked(None)
    assert observe("local").sessions == SessionGroups()
