"""The books of a fault run: the real clerk, a real database on a small disk, and the web's services.

The tests read the database with SQLite alone. It can be locked, its disk can be full, and the clerk can be
killed or stopped.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.disk import SmallDisk
from tests.faults.lines import ROOT, Lines, Refused
from tests.faults.office import FINAL, HOST, NotSent
from tests.faults.supervised import Supervised
from tests.rig.redis_fixtures import RedisServer
from tests.rig.signing import write_signing_key

DATABASE = "dockerfw.sqlite3"
# What the clerk itself writes without a report; it is not the host's last outcome.
GIVEN_UP = "queue"


class Books:
    """One database, its clerk and its desk; `close` them."""

    def __init__(self, directory: Path, redis: RedisServer, clock: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._log = directory / "clerk.log"
        self.disk = SmallDisk(directory / "books", size="12m")
        self._stack.callback(self.disk.close)
        (self.disk.seen / DATABASE).write_bytes(empty_database())
        self._environment = {
            **site_variables(self.disk.mount),
            "PYTHONPATH": f"{ROOT}:{Path(__file__).parent / 'clock'}",
            "DOCKERFW_REDIS_URL": redis.url,
            "DOCKERFW_SIGNING_KEY_FILE": str(write_signing_key(directory)),
            "DOCKERFW_TEST_CLOCK": str(clock),
        }
        witness = (*self.disk.prefix, sys.executable, "-m", "tests.faults.witness")
        self._witness = self._lines(*witness, str(self.disk.mount / DATABASE))
        self._desk = self._lines(*self.disk.prefix, sys.executable, "-m", "tests.faults.desk")
        self.clerk = Supervised(self._start_clerk)
        self._stack.callback(self.clerk.close)

    def close(self) -> None:
        """End all processes and the disk."""
        self._stack.close()

    def order(self, *ports: str) -> dict[str, Any]:
        """Apply a draft that opens these ports."""
        try:
            order: dict[str, Any] = self._desk.ask("order", ports=ports)
        except Refused as error:
            raise NotSent(str(error)) from error
        return order

    def answer(self, order: dict[str, Any], kind: str, seconds: int | None = None) -> None:
        """Answer the window as its page does."""
        self._desk.tell("answer", apply=order["apply"], kind=kind, seconds=seconds)

    def finals(self, order: dict[str, Any]) -> set[str]:
        """Return the last outcome in the database."""
        row = self.row(order)
        given_up = (row["error"] or {}).get("step") == GIVEN_UP
        return {f"{row['state']} {row['event']}"} if row["state"] in FINAL and not given_up else set()

    def row(self, order: dict[str, Any]) -> dict[str, Any]:
        """Return what the database says about an order."""
        row: dict[str, Any] = self._witness.ask("row", apply=order["apply"])
        return row

    def confirmed(self) -> int | None:
        """Return the number of the revision that counts as confirmed."""
        number: int | None = self._witness.ask("confirmed")
        return number

    def lie(self, order: dict[str, Any], confirmed_before: int | None, *, given_up: bool) -> str:
        """Return what the database says wrongly about an order that has ended, as `lie_in` does."""
        return lie_in(self.row(order), order["revision"], confirmed_before, given_up=given_up)

    @contextlib.contextmanager
    def broken(self, how: str) -> Iterator[None]:
        """Break them for a `with` block: lock or fill them, or kill the clerk repeatedly, or stop it."""
        with contextlib.ExitStack() as stack:
            if how == "locked":
                self._witness.ask("lock")
                stack.callback(self._witness.ask, "unlock")
            elif how == "full":
                self.disk.fill()
                stack.callback(self.disk.heal)
            elif how == "stopped":
                stopped = self.clerk.process.pid
                os.kill(stopped, signal.SIGSTOP)
                stack.callback(os.kill, stopped, signal.SIGCONT)
            elif how == "killed":
                ended = threading.Event()
                killing = threading.Thread(target=self._kill_clerk, args=(ended,), daemon=True)
                killing.start()
                stack.callback(killing.join, 20)
                stack.callback(ended.set)
            yield

    def words(self) -> str:
        """Return what clerk, desk and witness have logged."""
        return self._log.read_text() if self._log.exists() else ""

    def _kill_clerk(self, ended: threading.Event) -> None:
        while True:
            with contextlib.suppress(ProcessLookupError):
                self.clerk.process.kill()
            # Long enough for the clerk to do some work between.
            if ended.wait(1.7):
                return

    def _start_clerk(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--", *self.disk.prefix),
                    *(sys.executable, str(ROOT / "manage.py"), "clerk"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
                start_new_session=True,
            )

    def _lines(self, *command: str) -> Lines:
        lines = Lines(command, environment=self._environment, log=self._log)
        self._stack.callback(lines.close)
        return lines


def lie_in(row: dict[str, Any], revision: int, confirmed_before: int | None, *, given_up: bool) -> str:
    """Return what a row says wrongly, or twice, about an order that has ended; else nothing.

    `given_up` is whether the clerk may have given it up, and again, before the host's own word came.
    """
    wanted = {
        "revision": revision,
        "confirmed": revision if row["state"] == "confirmed" else confirmed_before,
        "error": row["state"] == "failed",
        "way_back": row["state"] == "rolled_back",
    }
    found = {**row, "error": bool(row["error"]), "way_back": bool(row["way_back"])}
    if any(found[name] != value for name, value in wanted.items()):
        return f"the books say {row}, and should say {wanted}"
    last_words = [verb for verb in row["audit"] if verb.removeprefix("apply-") in FINAL]
    while given_up and last_words[:1] == ["apply-failed"] and len(last_words) > 1:
        del last_words[0]
    return "" if last_words == [f"apply-{row['state']}"] else f"the audit says {row['audit']}"


def site_variables(data: Path) -> dict[str, str]:
    """Return the variables of the site's processes, with their data in this folder."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "LC_ALL": "C.UTF-8",
        "DOCKERFW_DATA_DIR": str(data),
        "DOCKERFW_SECRET_KEY": "a fault run has no secrets worth guessing",
        "DOCKERFW_HOST": HOST,
    }


@functools.cache
def empty_database() -> bytes:
    """Return a database with all tables and nothing in them."""
    with tempfile.TemporaryDirectory(prefix="dockerfw-faults-") as directory:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"],
            cwd=ROOT,
            env=site_variables(Path(directory)),
            check=True,
        )
        return (Path(directory) / DATABASE).read_bytes()
