"""What tests of `rules.host` put on a host before, order, and break on the way."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from dockerfw.agent.apply import Apply
from dockerfw.document.document import digest, parse_document
from dockerfw.host.clock import boottime, utc_now
from dockerfw.messages.orders import Answer, AnswerKind, Order
from dockerfw.messages.outcomes import Outcome
from dockerfw.store.letters import read_outcome
from dockerfw.store.outbox import Outbox
from dockerfw.store.state import StateDirectory
from dockerfw.window.answers import carry_out
from tests.rig.namespace import FAMILIES, Backend, Family, Namespace, iptables_program, wait_until

HOST = "local"

FOREIGN = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:f2b-sshd - [0:0]
:FILTERS - [0:0]
{input}
-A FILTERS -p tcp -m tcp --dport 23 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
[7:420] -A DOCKER-USER -m comment --comment "somebody's own" -j RETURN
-A DOCKER-USER -j RETURN
[3:180] -A f2b-sshd -s {address} -j DROP
-A f2b-sshd -j RETURN
COMMIT
"""

ADDRESS = {4: "192.0.2.66/32", 6: "2001:db8::66/128"}
PLAIN_INPUT = "[5:300] -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd"
# The article's own lines in the middle of other rules, and stale anchors that are not first.
ARTICLE_INPUT = """:FILTERS-HOST - [0:0]
:FILTERS-CONTAINERS - [0:0]
-A INPUT -i lo -j ACCEPT
[5:300] -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
[9:99] -A INPUT -i lo -j ACCEPT
[8:88] -A INPUT -j FILTERS
-A INPUT -p udp -j ACCEPT
[6:66] -A INPUT -j FILTERS-HOST
-A INPUT -p sctp -j ACCEPT
-A DOCKER-USER -s 203.0.113.9 -j RETURN
[4:44] -A DOCKER-USER -i ens33 -j FILTERS
[2:22] -A DOCKER-USER -i old0 -j FILTERS-CONTAINERS"""


def document(*ports: str, external: tuple[str, ...] = ("ens33",)) -> dict[str, Any]:
    """Return a document that opens these tcp ports on host and containers, and an IPv4 network."""
    rules = [{"scope": "both", "protocol": "tcp", "ports": [port], "comment": "web"} for port in ports]
    rules.append({"scope": "container", "source": "198.51.100.0/24"})
    return {"format": "dockerfw/1", "settings": {"external_interfaces": list(external)}, "rules": rules}


def order(value: Mapping[str, object], *, sequence: int = 1, **changes: Any) -> Order:
    """Return a valid order for the document, with changes."""
    fields: dict[str, Any] = {
        "apply": str(uuid4()),
        "sequence": sequence,
        "host": HOST,
        "revision": sequence,
        "document": value,
        "digest": digest(parse_document(value)),
        "confirm_seconds": 60,
        "issued_at": utc_now(),
        "override": False,
    }
    return Order(**{**fields, **changes})


def answer(kind: AnswerKind, state: StateDirectory, *, seconds: int | None = None, **changes: Any) -> Outcome:
    """Answer the open window; the outcome must be a valid message."""
    window = state.read_window()
    fields: dict[str, Any] = {
        "apply": window.apply if window else str(uuid4()),
        "sequence": state.read_last_order().sequence,
        "host": HOST,
        "answer": kind,
        "seconds": seconds,
        "issued_at": utc_now(),
    }
    outcome = carry_out(Answer(**{**fields, **changes}), state, host=HOST)
    assert Outcome.from_json(outcome.to_json()) == outcome
    return outcome


def run(
    one: Order,
    state: StateDirectory,
    *,
    settle: Any = None,
    window_seconds: int | None = None,
    docker_socket: Path | None = None,
) -> Outcome:
    """Carry out an order here and now; every outcome that is told must be a valid message."""

    def tell(outcome: Outcome) -> None:
        assert Outcome.from_json(outcome.to_json()) == outcome

    outcome = Apply(
        one,
        host=HOST,
        state=state,
        tell=tell,
        settle=settle or Outbox(state.journal).write,
        window_seconds=window_seconds,
        docker_socket=docker_socket,
    ).run()
    tell(outcome)
    return outcome


def load(state: StateDirectory, *ports: str, sequence: int = 1, seconds: int | None = None) -> Order:
    """Load a document that opens these ports, and leave its window open."""
    one = order(document(*ports), sequence=sequence)
    outcome = run(one, state, window_seconds=seconds)
    assert outcome.state == "awaiting", outcome.error
    assert outcome.window is not None
    assert outcome.window.seconds == (seconds or one.confirm_seconds)
    assert 0 <= outcome.window.seconds_left <= outcome.window.seconds
    return one


def let_window_pass(state: StateDirectory) -> None:
    """Let the deadline of the open window be now, however long the test took to get here."""
    with state.lock():
        record = state.read_window()
        assert record is not None
        state.write_window(replace(record, deadline=boottime()))


def told(state: StateDirectory, one: Order) -> list[Outcome]:
    """Return what the outbox holds about an order, the oldest first."""
    found = sorted(state.journal.glob(f"outcome-{one.apply}-*.json"))
    return [outcome for path in found if (outcome := read_outcome(path)) is not None]


def watchdogs(state: StateDirectory) -> list[int]:
    """Return the ids of the processes that watch this state directory."""
    mark = f"dockerfw.window.watchdog_process\0{state.path}".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def stop_watchdogs(state: StateDirectory) -> None:
    """Leave the window's record to the test: no other process ends it."""
    for process in watchdogs(state):
        os.kill(process, signal.SIGKILL)
    wait_until("the watchdog's end", lambda: not watchdogs(state))


def add_foreign(namespace: Namespace, backend: Backend, lines: str = PLAIN_INPUT) -> None:
    """Load Docker's chains, fail2ban's and an admin's own rules on the host, with counters."""
    for family in FAMILIES:
        text = FOREIGN.format(input=lines, address=ADDRESS[family])
        if family == 6:
            text = text.replace("203.0.113.9", "2001:db8::9")
        namespace.restore(text, backend, family, counters=True)


def held(namespace: Namespace, backend: Backend) -> dict[Family, list[str]]:
    """Return what both families hold, counters and all, without the comment lines that carry the time."""
    return {
        family: [
            line
            for line in namespace.save(backend, family, counters=True).decode().split("\n")
            if not line.startswith("#")
        ]
        for family in FAMILIES
    }


def foreign_lines(lines: list[str]) -> list[str]:
    """Return the rules that are not dockerfw's."""
    return [line for line in lines if "FILTERS" not in line]


class Saboteur:
    """Puts a script before a program in PATH that breaks it, outside of rehearsals unless told otherwise."""

    def __init__(self, directory: Path, backend: Backend) -> None:
        self.directory = directory
        self._backend = backend

    def on(
        self, family: Family, script: str, *, verb: str = "restore", times: int = 1, rehearsal: bool = False
    ) -> None:
        """Run `script` the first `times` times; `"$REAL" "$@"` is the real program."""
        name = iptables_program(self._backend, family, verb)
        count = self.directory / f"{name}.count"
        where = "" if rehearsal else 'case "$XTABLES_LOCKFILE" in *rehearsal*) exec "$REAL" "$@";; esac'
        path = self.directory / name
        path.write_text(
            f"""#!/bin/sh
REAL=/usr/sbin/{name}
{where}
echo x >>{count}
[ "$(wc -l <{count})" -gt {times} ] && exec "$REAL" "$@"
{script}
"""
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def calls(self, family: Family, verb: str = "restore") -> int:
        """Return how often the script was called."""
        count = self.directory / f"{iptables_program(self._backend, family, verb)}.count"
        return len(count.read_text().split()) if count.exists() else 0

    @property
    def path(self) -> str:
        """The PATH with the scripts first."""
        return os.pathsep.join((str(self.directory), os.environ["PATH"]))
