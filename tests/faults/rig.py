"""A host under fault injection: real kernel, real Redis, a small disk, the root worker and its supervisor.

The supervisor restarts the worker as systemd does with Restart=always; a clerk takes what is delivered and
notes it, as the real one does. Everything ends with the rig.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis.exceptions import RedisError

from rules.host.clock import boottime, utc_now
from rules.host.files import read_bounded
from rules.host.records import WindowRecord
from rules.netfilter.document import digest, parse_document
from rules.netfilter.parse import parse_save
from rules.netfilter.plan import plan_changes
from rules.queue.entries import done_key, read_call
from rules.queue.orders import Outcome, firewall_queue
from rules.queue.snapshots import Family
from tests.faults.disk import SmallDisk
from tests.host.hosts import add_foreign, document
from tests.kernel.namespace import FAMILIES, Backend, Namespace, end_process, iptables_program
from tests.queue.attacks import job_fields, packed, put
from tests.queue.conftest import RedisServer

HOST = "local"
QUEUE = firewall_queue(HOST)
ROOT = Path(__file__).parents[2]
FINAL = ("confirmed", "rolled_back", "failed")
RESTART_SECONDS = 0.3

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

    def __init__(self, *, backend: Backend = "nft", window_seconds: int = 3) -> None:
        self._stack = contextlib.ExitStack()
        self.backend = backend
        self.window_seconds = window_seconds
        self.directory = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dockerfw-faults-"))
        )
        self.namespace = self._stack.enter_context(Namespace("faults"))
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
        self.outcomes: list[Outcome] = []
        self.sequence = int(time.time() * 1000)
        self.revision = 0
        self.worker: subprocess.Popen[bytes] | None = None
        self.restarts = -1
        self._ending = threading.Event()
        self._paused = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._supervise, self._clerk)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End everything that belongs to it."""
        self._ending.set()
        for thread in self._threads:
            thread.join(20)
        if self.worker is not None:
            end_process(self.worker)
        for pid in self.watchdogs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._stack.close()

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
        if self.worker is None:
            return None
        children = Path(f"/proc/{self.worker.pid}/task/{self.worker.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if int(child) not in self.watchdogs():
                    return int(child)
        return None

    def watchdogs(self) -> list[int]:
        """Return the ids of this rig's watchdogs."""
        found = []
        mark = f"rules.host.watchdog\0{self.disk.mount / 'state'}".encode()
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
        if "worker" in victims and self.worker is not None:
            pids.append(self.worker.pid)
        if "watchdog" in victims:
            pids.extend(self.watchdogs())
        if "here" in victims:
            pids.append(here)
        for pid in filter(None, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _supervise(self) -> None:
        while not self._ending.is_set():
            self.worker = self.start_worker()
            self.restarts += 1
            while self.worker.poll() is None and not self._ending.wait(0.05):
                pass
            self._ending.wait(RESTART_SECONDS)

    def _clerk(self) -> None:
        """Take what is delivered, note it, and forget nothing."""
        while not self._ending.wait(0.05):
            with contextlib.suppress(RedisError, OSError):
                redis = self.redis.client()
                while (raw := redis.lpop("rq:queue:clerk")) is not None:
                    assert isinstance(raw, bytes)
                    data: Any = redis.hget(f"rq:job:{raw.decode()}", "data")
                    if data is None:
                        continue
                    self.outcomes.append(Outcome.from_json(read_call(data)[1][0]))
                    redis.delete(f"rq:job:{raw.decode()}")
                    redis.set(done_key(raw.decode()), "1", ex=600)

    def _wrap_programs(self) -> None:
        (self.directory / "bin").mkdir()
        for family in FAMILIES:
            name = iptables_program(self.backend, family, "restore")
            path = self.directory / "bin" / name
            path.write_text(WRAPPER.format(name=name, control=self.control(family)))
            path.chmod(0o755)

    # --- what a test does

    def control(self, family: Family) -> Path:
        """Return the file whose word breaks the next restore of a family."""
        return self.directory / f"break-{family}"

    def taken(self, family: Family) -> Path:
        """Return the file that is there once a restore of a family has been broken."""
        return self.directory / f"break-{family}.taken"

    @contextlib.contextmanager
    def halted_at(self, point: str) -> Iterator[None]:
        """Let whoever comes to this point wait there until the block ends."""
        (self.hooks / point).touch()
        try:
            yield
        finally:
            (self.hooks / point).unlink(missing_ok=True)

    def reached(self, point: str) -> int | None:
        """Return the id of the process that came to this point last."""
        with contextlib.suppress(OSError):
            for line in reversed((self.hooks / "reached").read_text().splitlines()):
                name, pid = line.split()
                if name == point:
                    return int(pid)
        return None

    def forget_points(self) -> None:
        """Forget who came where."""
        for path in self.hooks.iterdir():
            path.unlink()
        for family in FAMILIES:
            self.control(family).unlink(missing_ok=True)
            self.taken(family).unlink(missing_ok=True)

    def order(self, *ports: str) -> dict[str, Any]:
        """Order to open these ports; return the order."""
        self.sequence += 1
        self.revision += 1
        value = document(*ports)
        order = {
            "format": "dockerfw-order/1",
            "apply": str(uuid4()),
            "sequence": self.sequence,
            "host": HOST,
            "revision": self.revision,
            "document": value,
            "digest": digest(parse_document(value)),
            "confirm_seconds": 60,
            "issued_at": utc_now(ahead=self.clock_ahead()),
            "override": False,
        }
        self.send("apply", order)
        return order

    def answer(self, order: dict[str, Any], kind: str, seconds: int | None = None) -> None:
        """Answer the window of an order."""
        self.sequence += 1
        answer = {
            "format": "dockerfw-answer/1",
            "apply": order["apply"],
            "sequence": self.sequence,
            "host": HOST,
            "answer": kind,
            "seconds": seconds,
            "issued_at": utc_now(ahead=self.clock_ahead()),
        }
        self.send("answer", answer)

    def send(self, name: str, value: dict[str, Any]) -> None:
        """Put a job on the queue. Raises redis's errors."""
        put(self.redis.client(), QUEUE, str(uuid4()), job_fields(packed(name, [value]), QUEUE))

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

    def finals(self, order: dict[str, Any]) -> set[str]:
        """Return the last words about an order that were delivered."""
        return {
            f"{outcome.state} {outcome.event}"
            for outcome in self.outcomes
            if outcome.apply == order["apply"] and outcome.state in FINAL
        }

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
        """Say whether the kernel holds exactly what was ordered, in both families."""
        live = {family: parse_save(self.namespace.save(self.backend, family)) for family in FAMILIES}
        return plan_changes(parse_document(order["document"]), live, revision=order["revision"]).empty

    def boot_apply(self) -> tuple[str, list[str]]:
        """Return whose boot files are in use, and which there are."""
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

    def late(self, deadline: float) -> float:
        """Return how many seconds ago a deadline was."""
        return boottime() - deadline
