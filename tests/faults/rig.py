"""A host under fault injection: real kernel, real Redis, a small disk, the root worker and its supervisor.

The supervisor restarts the worker as systemd does with Restart=always. Who orders, and takes down what is
delivered, is the rig's office: notes in memory, or the real books. Everything ends with the rig.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dockerfw.bindings.binder_start import MODULE as BINDER
from dockerfw.chains.plan import plan_changes
from dockerfw.document.document import parse_document
from dockerfw.host.files import read_bounded
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.store.records import WindowRecord
from dockerfw.window.watchdog_start import MODULE as WATCHDOG
from tests.faults.books import Books
from tests.faults.disk import SmallDisk
from tests.faults.office import HOST, Notes, Office
from tests.faults.supervised import Supervised
from tests.rig.host_states import add_foreign
from tests.rig.namespace import FAMILIES, Backend, Namespace, iptables_program
from tests.rig.redis_fixtures import RedisServer
from tests.rig.signing import write_signer

ROOT = Path(__file__).parents[2]

# Each line of the control file breaks one call outside of rehearsals: what it says is done once.
WRAPPER = """#!/bin/sh
REAL=/usr/sbin/{name}
case "$XTABLES_LOCKFILE" in *rehearsal*) exec "$REAL" "$@";; esac
mv {control} {control}.taken 2>/dev/null || exec "$REAL" "$@"
case "$(cat {control}.taken)" in
    fails) echo "injected" >&2; exit 2;;
    killed) kill -9 $$;;
    hangs) exec sleep 60;;
    late-fails) "$REAL" "$@"; exit 1;;
    late-killed) "$REAL" "$@"; kill -9 $$;;
    late-hangs) "$REAL" "$@"; exec sleep 60;;
    slow) sleep 1.5; exec "$REAL" "$@";;
esac
"""


class Rig:
    """One host; `close` it."""

    def __init__(self, *, backend: Backend = "nft", books: bool = False, window_seconds: int = 3) -> None:
        self._stack = contextlib.ExitStack()
        self.backend = backend
        self.window_seconds = window_seconds
        self.directory = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dockerfw-faults-"))
        )
        self.namespace = self._stack.enter_context(Namespace("faults"))
        self.namespace.add_interface()
        self.disk = SmallDisk(self.directory / "disk")
        self._stack.callback(self.disk.close)
        (self.directory / "redis").mkdir()
        self.redis = RedisServer(self.directory / "redis")
        self.redis.start()
        self._stack.callback(self.redis.stop)
        self.state = self.disk.seen / "state"
        self.hooks = self.directory / "hooks"
        self.hooks.mkdir()
        self.clock = self.directory / "clock"
        self.log = self.directory / "root.log"
        self._wrap_programs()
        add_foreign(self.namespace, backend)
        self.books = Books(self.directory, self.redis, self.clock) if books else None
        self.office: Office = self.books or Notes(self.redis, self.clock_ahead)
        self._stack.callback(self.office.close)
        self._stack.callback(self._kill_watchdogs)
        self._worker = Supervised(self.start_worker)
        self._stack.callback(self._worker.close)

    def close(self) -> None:
        """End all its processes."""
        self._stack.close()

    @property
    def restarts(self) -> int:
        """The number of times that the root worker was started again."""
        return self._worker.restarts

    # --- processes

    def command(self) -> list[str]:
        """Return the command that starts a root worker here."""
        module = [sys.executable, "-m", "tests.faults.short_windows", str(self.window_seconds)]
        return [*self.disk.prefix, *self.namespace.prefix, *module]

    def environment(self) -> dict[str, str]:
        """Return the root worker's variables."""
        return {
            **self.namespace.environment,
            "PATH": f"{self.directory / 'bin'}:{self.namespace.environment['PATH']}",
            "PYTHONPATH": f"{ROOT}:{Path(__file__).parent / 'clock'}",
            "DOCKERFW_REDIS_URL": self.redis.url,
            "DOCKERFW_STATE_DIR": str(self.disk.mount / "state"),
            "DOCKERFW_DATA_DIR": str(self.directory / "data"),
            "DOCKERFW_HOST": HOST,
            "DOCKERFW_SIGNER_FILE": str(write_signer(self.directory)),
            "DOCKERFW_HOOK_DIR": str(self.hooks),
            "DOCKERFW_TEST_CLOCK": str(self.clock),
        }

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start one root worker."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                cwd=ROOT,
                start_new_session=True,
            )

    def job(self) -> int | None:
        """Return the id of the process that runs a job now."""
        worker = self._worker.process.pid
        children = Path(f"/proc/{worker}/task/{worker}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if not {int(child)} & {*self.watchdogs(), *self._processes(BINDER)}:
                    return int(child)
        return None

    def watchdogs(self) -> list[int]:
        """Return the ids of this rig's watchdogs."""
        return self._processes(WATCHDOG)

    def _processes(self, module: str) -> list[int]:
        """Return the ids of this rig's processes that run a module."""
        found = []
        mark = f"{module}\0{self.disk.mount / 'state'}".encode()
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if process.name.isdigit() and mark in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        return found

    def kill(self, *victims: str, here: int | None = None) -> None:
        """Kill -9 "job", "worker", "watchdog" or "here", the process that waits at a point."""
        pids: list[int | None] = []
        if "job" in victims:
            pids.append(self.job())
        if "worker" in victims:
            pids.append(self._worker.process.pid)
        if "watchdog" in victims:
            pids.extend(self.watchdogs())
        if "here" in victims:
            pids.append(here)
        for pid in filter(None, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _kill_watchdogs(self) -> None:
        self.kill("watchdog")

    def _wrap_programs(self) -> None:
        (self.directory / "bin").mkdir()
        for family in FAMILIES:
            name = iptables_program(self.backend, family, "restore")
            path = self.directory / "bin" / name
            path.write_text(WRAPPER.format(name=name, control=self.control(family)))
            path.chmod(0o755)

    # --- what a test does

    def control(self, family: Family) -> Path:
        """Return the file that says how to break the next restore of a family."""
        return self.directory / f"break-{family}"

    def taken(self, family: Family) -> Path:
        """Return the file that is there once a restore of a family has been broken."""
        return self.directory / f"break-{family}.taken"

    @contextlib.contextmanager
    def halted_at(self, point: str) -> Iterator[None]:
        """Hold the process that reaches this checkpoint until the block ends."""
        (self.hooks / point).touch()
        try:
            yield
        finally:
            (self.hooks / point).unlink(missing_ok=True)

    def reached(self, point: str) -> int | None:
        """Return the id of the process that reached this checkpoint last."""
        with contextlib.suppress(OSError):
            for line in reversed((self.hooks / "reached").read_text().splitlines()):
                name, pid = line.split()
                if name == point:
                    return int(pid)
        return None

    def forget_points(self) -> None:
        """Forget which checkpoints were reached."""
        for path in self.hooks.iterdir():
            path.unlink()
        for family in FAMILIES:
            self.control(family).unlink(missing_ok=True)
            self.taken(family).unlink(missing_ok=True)

    def clock_ahead(self) -> float:
        """Return the seconds that the worker's wall clock is ahead."""
        return float(self.clock.read_text() or 0) if self.clock.exists() else 0.0

    # --- what a test sees

    def window(self) -> WindowRecord | None:
        """Return the open window."""
        with contextlib.suppress(OSError):
            raw = read_bounded(self.state / "window.json")
            return None if raw is None else WindowRecord.from_bytes(raw, "window.json")
        return None

    def held(self) -> dict[Family, list[str]]:
        """Return both families' filter tables without counters."""
        return {
            family: [
                line.split(" [")[0] if line.startswith(":") else line
                for line in self.namespace.save(self.backend, family, table="filter").decode().split("\n")
                if not line.startswith("#")
            ]
            for family in FAMILIES
        }

    def holds(self, order: dict[str, Any]) -> bool:
        """Return True if the kernel holds exactly what was ordered, in both families."""
        live = {family: parse_save(self.namespace.save(self.backend, family)) for family in FAMILIES}
        return plan_changes(parse_document(order["document"]), live, revision=order["revision"]).empty

    def boot_apply(self) -> tuple[str, list[str]]:
        """Return the apply whose boot files are in use, and their names."""
        link = self.state / "boot"
        if not link.is_symlink():
            return "", []
        return Path(os.readlink(link)).name, sorted(
            path.name for path in (self.state / os.readlink(link)).iterdir()
        )

    def journal(self) -> list[dict[str, Any]]:
        """Return the outcomes that wait on disk."""
        return [
            json.loads(path.read_text()) for path in sorted((self.state / "journal").glob("outcome-*.json"))
        ]
