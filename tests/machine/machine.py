"""One machine: boots it, runs commands in it, asks it from outside, pulls its plug.

Owns the container, the network namespace that is the world around it, and its copy of the tree; closing takes
all of it away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.machine.tree import ADDRESS, ROUTER, MachineError, copy_clone, run

SECONDS = 120.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
FETCH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5).read()"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command in the machine left."""

    status: int
    stdout: str
    stderr: str


class Machine:
    """A running machine with the clone in /opt/dockerfw; use it in a `with` block."""

    def __init__(self, tree: Path) -> None:
        """Start it and wait until it has booted. Raises MachineError."""
        self._folder = Path(tempfile.mkdtemp(prefix="machine-", dir=tree.parent))
        self._name = f"dfw{os.getpid()}"
        self._leader = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.console = self._folder / "console.log"
        try:
            # systemd-nspawn leaves a folder alone whose owner is root and which is nobody's else.
            run("cp", "-a", "--reflink=auto", str(tree), str(self._folder / "root"))
            copy_clone(self._folder / "root" / "opt" / "dockerfw")
            run("ip", "netns", "add", self._name)
            run("ip", "-n", self._name, "link", "set", "lo", "up")
            self._switch_on()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Switch it off and remove what it wrote."""
        self._switch_off()
        with contextlib.suppress(MachineError):
            run("ip", "netns", "delete", self._name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *command: str, stdin: str = "", seconds: float = SECONDS, check: bool = True) -> Done:
        """Run a command as root in the machine. Raises MachineError; with `check` also when it fails."""
        # (nsenter does not take the machine's control groups along.)
        enter = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        clean = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        try:
            done = subprocess.run(
                [*enter, *clean, *command],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"{' '.join(command)[:300]}: not done within {seconds:.0f} s") from error
        if check and done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
            raise MachineError(f"{' '.join(command)[:300]}: status {done.returncode}\n{said}")
        return Done(done.returncode, done.stdout, done.stderr)

    def sh(self, script: str, *, seconds: float = SECONDS) -> str:
        """Run a shell script that stops at the first failure; return what it printed. Raises MachineError."""
        return self.run("sh", "-eu", stdin=script, seconds=seconds).stdout

    def answers(self, port: int) -> bool:
        """Ask for a page of the machine from the world around it."""
        ask = [sys.executable, "-c", FETCH, f"http://{ADDRESS}:{port}/"]
        world = ["nsenter", f"--net=/run/netns/{self._name}", "--"]
        return subprocess.run([*world, *ask], capture_output=True, timeout=60, check=False).returncode == 0

    def reboot(self) -> None:
        """Reboot it as an admin does. Raises MachineError."""
        process = self._process
        assert process is not None
        self.run("systemctl", "reboot", check=False)
        # With --keep-unit, systemd-nspawn leaves it to whoever started it to start it again.
        self._await("the end of all processes", lambda: process.poll() is not None)
        self._leader = 0
        self._switch_on()

    def _switch_on(self) -> None:
        command = [
            # Whatever becomes of this process, the machine ends with it.
            *("setpriv", "--pdeathsig", "KILL", "--", "nsenter", f"--net=/run/netns/{self._name}", "--"),
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--kill-signal=SIGKILL"),
            *("--directory", str(self._folder / "root"), "--machine", self._name, "--network-veth"),
        ]
        with self.console.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._await_boot()

    def _switch_off(self) -> None:
        if self._process is None:
            return
        # The death of its process 1 is the death of all of them.
        if self._leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, 9)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._process, self._leader = None, 0

    def _await_boot(self) -> None:
        self._await("a process 1", self._find_leader)
        self._plug_in()
        self._await("a system bus", lambda: self.run("busctl", "status", check=False).status == 0)
        self.run("systemctl", "is-system-running", "--wait", check=False)

    def _find_leader(self) -> bool:
        assert self._process is not None
        own = self._process.pid
        try:
            for child in Path(f"/proc/{own}/task/{own}/children").read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                inner = status.partition("NSpid:")[2].split("\n")[0].split()
                if inner[1:] == ["1"] and "systemd" in Path(f"/proc/{child}/comm").read_text():
                    self._leader = int(child)
                    return True
        except OSError:
            pass
        if self._process.poll() is not None:
            said = self.console.read_text(errors="replace")[-2000:]
            raise MachineError(f"the machine ended by itself:\n{said}")
        return False

    def _plug_in(self) -> None:
        """Give the world's end of the cable its address; it is a new one at each boot."""
        end = f"ve-{self._name}"

        def there() -> bool:
            return (
                subprocess.run(["ip", "-n", self._name, "link", "show", end], capture_output=True).returncode
                == 0
            )

        self._await("the cable", there)
        run("ip", "-n", self._name, "address", "replace", f"{ROUTER}/24", "dev", end)
        run("ip", "-n", self._name, "link", "set", end, "up")

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not ready():
            if time.monotonic() > deadline:
                end = self.console.read_text(errors="replace")[-2000:]
                raise MachineError(f"{what} did not come within {SECONDS:.0f} s:\n{end}")
            time.sleep(0.1)
