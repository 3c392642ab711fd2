"""Read the state of the machine: the kernel's rules, the database and systemd. story.py checks the values."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from tests.machine.machine import Machine
from tests.machine.world import FETCH

UNITS = ("dockerfw-redis", "dockerfw-web", "dockerfw-clerk", "dockerfw-root")
ANCHOR = "-A DOCKER-USER -i host0 -j FILTERS-CONTAINERS"
# What a forbidden system call or a lacking capability looks like in a journal.
DENIED = re.compile(
    r"SIGSYS|Bad system call|status=31|Operation not permitted|Permission denied|Read-only file"
)
PATIENCE = 120.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LAST_APPLY = """
import json, sqlite3
database = sqlite3.connect("file:/var/lib/dockerfw-web/dockerfw.sqlite3?mode=ro", uri=True)
query = "SELECT number, state, way_back, steps FROM rules_apply JOIN rules_revision r ON r.id = revision_id"
print(json.dumps(database.execute(query + " ORDER BY sequence DESC LIMIT 1").fetchone()))
"""


def exposure_bound(unit: str) -> float:
    """Return what `systemd-analyze security` has to rate a unit below."""
    # The root worker may become another user, so that the reader of refused packets is nobody.
    return 3.3 if unit == "dockerfw-root" else 3.0


def expect(true: bool, otherwise: str) -> None:
    """Raise AssertionError with these words unless it is true."""
    if not true:
        raise AssertionError(otherwise)


@dataclass(frozen=True, slots=True)
class LastApply:
    """The newest apply as the database has it."""

    revision: int
    state: str
    way_back: dict[str, Any]
    steps: list[dict[str, Any]]


class Sight:
    """What can be seen in one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def loaded(self) -> list[int]:
        """Return the revisions whose labels both families bear."""
        return [int(number) for number in re.findall(r'--comment "dockerfw r(\d+) ', self._saves())]

    def anchors(self) -> int:
        """Return in how many families Docker's chain calls ours first of all."""
        return self._saves().count(ANCHOR)

    def docker_calls_its_chain(self) -> bool:
        """Return True if Docker, started after the boot files were loaded, calls DOCKER-USER first."""
        calls = self._machine.sh("iptables -w -S FORWARD").splitlines()
        # (The first line is the chain's policy.)
        return calls[1:2] == ["-A FORWARD -j DOCKER-USER"]

    def last_apply(self) -> LastApply:
        """Return the newest apply."""
        number, state, way_back, steps = json.loads(
            self._machine.run("python3", "-", stdin=LAST_APPLY).stdout
        )
        return LastApply(number, state, json.loads(way_back or "{}"), json.loads(steps or "[]"))

    def connections(self) -> str:
        """Return the TCP connections that the kernel follows."""
        return self._machine.sh("conntrack -L -p tcp 2>/dev/null")

    def processes(self) -> list[str]:
        """Return each unit's process and when it came."""
        ask = "systemctl show -p MainPID -p ExecMainStartTimestampMonotonic --value"
        return self._machine.sh(f"for unit in {' '.join(UNITS)}; do {ask} $unit; done").split()

    def await_serving(self) -> None:
        """Wait until all serves. Raises AssertionError."""
        deadline = time.monotonic() + PATIENCE
        while not self.all_serve():
            expect(time.monotonic() < deadline, f"not all units serve within {PATIENCE:.0f} s")
            time.sleep(0.5)

    def all_serve(self) -> bool:
        """Return True if all four units run and the pages answer."""
        states = self._machine.run("systemctl", "is-active", *UNITS, check=False).stdout.split()
        ask = ("python3", "-c", FETCH, "http://127.0.0.1:8000/healthz")
        return states == ["active"] * len(UNITS) and self._machine.run(*ask, check=False).status == 0

    def property(self, unit: str, name: str) -> str:
        """Return what systemd says of a unit."""
        return self._machine.sh(f"systemctl show -P {name} {unit}").strip()

    def moment(self, unit: str, what: str) -> float:
        """Return when a unit came so far, in seconds since the boot."""
        microseconds = int(self.property(unit, f"{what}TimestampMonotonic"))
        assert microseconds, f"{unit} never came to {what}"
        return microseconds / 1e6

    def boot_id(self) -> str:
        """Return the id of this boot as the root worker reads it."""
        worker = self.property("dockerfw-root", "MainPID")
        return self._machine.run("nsenter", f"--target={worker}", "--mount", "cat", BOOT_ID).stdout.strip()

    def uptime(self) -> float:
        """Return how long the machine has been up by CLOCK_BOOTTIME, in seconds."""
        code = "import time; print(time.clock_gettime(time.CLOCK_BOOTTIME))"
        return float(self._machine.run("python3", "-c", code).stdout)

    def journal_boots(self) -> int:
        """Return of how many boots there is a journal."""
        return len(self._machine.sh("journalctl --list-boots --quiet").splitlines())

    def denials(self) -> list[str]:
        """Return the lines of the journals of all boots in which something was forbidden."""
        journal = self._machine.sh("journalctl --no-pager -o cat -u 'dockerfw-*'")
        return [line for line in journal.splitlines() if DENIED.search(line)]

    def exposure(self, unit: str) -> float:
        """Return what `systemd-analyze security` says in the end, from 0 to 10."""
        text = self._machine.sh(f"systemd-analyze security --no-pager {unit}.service | tail -n 1")
        return float(re.findall(r"[0-9.]+", text.partition(":")[2])[0])

    def _saves(self) -> str:
        return self._machine.sh("iptables-save; ip6tables-save")
