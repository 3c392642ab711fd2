"""The whole product as scripts/run starts it, with alice signed in."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from scripts.benchmarks.documents import make_object
from scripts.benchmarks.person import Answer, Person
from tests.browser.stack import ROOT, Stack

HOST: Final = "/hosts/local"
# Packets from the sandbox to itself, which its rules let through.
_SEND = """
import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    one.sendto(b"", ("127.0.0.1", 9))
    time.sleep(0.1)
"""


class Site:
    """A running stack in its sandbox, with alice signed in."""

    def __init__(self) -> None:
        self.stack = Stack()
        self.alice = Person(self.stack.address)
        self.alice.become_first_admin(self.stack.setup_link)
        self.applies = 0

    def hold(self, rules: int) -> None:
        """Bring the kernel to hold this many rules of a second revision, and leave one change pending."""
        for note in ("first", "second"):
            self.import_rules(rules, note=note)
            self.wait_confirmed(self.apply()[1])
        self.import_rules(rules, note="pending")

    def import_rules(self, rules: int, *, note: str = "") -> None:
        """Make a document of this size the draft."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(make_object(rules, note=note), file)
            file.flush()
            # Started by root, the verb reads it as the user of the web process.
            Path(file.name).chmod(0o644)
            environment = {**os.environ, "DOCKERFW_DATA_DIR": str(self.stack.data)}
            subprocess.run(
                ["scripts/firewall", "import", file.name],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                check=True,
                timeout=600,
            )

    def apply(self) -> tuple[float, Answer]:
        """Send the review's form; return when that was, on the monotonic clock, and the apply's page."""
        fields = self.alice.fields(f"{HOST}/review/", "message")
        self.applies += 1
        began = time.monotonic()
        message = f"measurement {self.applies}"
        page = self.alice.post(f"{HOST}/review/", {**fields, "message": message}, htmx=True)
        if "/applies/" not in page.url:
            raise LookupError("the review was not applied")
        return began, page

    def wait_confirmed(self, page: Answer, seconds: float = 600) -> None:
        """Keep an apply as soon as it is loaded, and wait until it is done; LookupError when it failed."""
        deadline = time.monotonic() + seconds
        kept = False
        while time.monotonic() < deadline:
            output = self.apply_state(page)
            if output == "awaiting" and not kept:
                keep = f"{page.url.rstrip('/')}/keep/"
                self.alice.post(keep, self.alice.fields(keep, "nonce"))
                kept = True
            if output == "confirmed":
                return
            if output in {"failed", "rolled_back"}:
                raise LookupError(f"the apply ended as {output}: {page.url}")
            time.sleep(0.1)
        raise LookupError(f"the apply was not done within {seconds} s: {page.url}")

    def apply_state(self, page: Answer) -> str:
        """Read an apply's state from the database."""
        apply = page.url.rstrip("/").rsplit("/", 1)[1].replace("-", "")
        path = self.stack.data / "web" / "dockerfw.sqlite3"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            row = database.execute("SELECT state FROM rules_apply WHERE id = ?", (apply,)).fetchone()
        return str(row[0]) if row else ""

    def inside(self, *command: str) -> list[str]:
        """Return a command that runs in the sandbox."""
        own_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self.stack.pid('root worker')}", "--net", *own_user, "--", *command]

    def processor_seconds(self, name: str) -> float:
        """Return the processor time that a process of the stack and its children have used."""
        return _processor_seconds(self.stack.pid(name))

    def run_as_web(self, module: str, *words: str) -> Any:
        """Run a module with the environment of the web process, and return the JSON that it printed."""
        variables = Path(f"/proc/{self.stack.pid('web')}/environ").read_text().split("\0")
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env={**os.environ, **dict(item.split("=", 1) for item in variables if "=" in item)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=3600,
        )
        if done.returncode != 0:
            raise LookupError(f"{module} ended with status {done.returncode}, see above")
        return json.loads(done.stdout)

    @contextmanager
    def moving_counters(self) -> Iterator[None]:
        """Send packets through the sandbox's rules during a `with` block, so that no two looks are alike."""
        with subprocess.Popen(self.inside(sys.executable, "-c", _SEND)) as sending:
            try:
                yield
            finally:
                sending.kill()

    @contextmanager
    def foreign_rules(self, rules: int) -> Iterator[None]:
        """Add a list of refused sources to the kernel for a `with` block."""
        lines = [f"-A FOREIGN -s {IPv4Address(0x0B000000 + number)}/32 -j DROP" for number in range(rules)]
        self._restore([":FOREIGN - [0:0]", *lines, "-A INPUT -j FOREIGN"])
        try:
            yield
        finally:
            self._restore(["-D INPUT -j FOREIGN", "-F FOREIGN", "-X FOREIGN"])

    def _restore(self, lines: list[str]) -> None:
        subprocess.run(
            self.inside("iptables-nft-restore", "-n"),
            input="\n".join(["*filter", *lines, "COMMIT", ""]),
            text=True,
            check=True,
            timeout=600,
        )


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process and its children; a job that has ended has none."""
    try:
        user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return own + sum(_processor_seconds(int(child)) for child in children)
