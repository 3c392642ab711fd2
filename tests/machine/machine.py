"""One machine: boot it, run commands in it, reboot it, and cut its power.

Closing a machine removes the container, its network, and its copy of the tree. Each boot gets what a
container lacks and a real machine has: an id (from systemd-nspawn) and clocks that begin at 0 (a time
namespace).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.machine.groups import Groups
from tests.machine.layers import changed_files
from tests.machine.tree import MachineError, copy_clone, run
from tests.machine.world import World
from tests.rig.trees import run_inside

SECONDS = 120.0
# In the order in which unshare is told of them.
CLOCKS = (time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC)
# What systemd-nspawn would leave behind goes with its mounts.
START = """
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$FOLDER/upper,workdir=$FOLDER/work" "$FOLDER/root"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command in the machine left."""

    status: int
    stdout: str
    stderr: str


class Machine:
    """A running machine with the clone in a user's home; use it in a `with` block."""

    def __init__(self, tree: Path, *, target: str = "") -> None:
        """Start it and wait until it has booted, into another target when wanted. Raises MachineError.

        The tree stays as it is: what the machine writes lies over it.
        """
        self._tree, self._target = tree, target
        self._folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self._name = f"dfw{os.getpid()}"
        self._leader = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.console = self._folder / "console.log"
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            for name in ("root", "upper", "work"):
                (self._folder / name).mkdir(mode=0o755)
            self._prepare(self._folder / "upper")
            self._groups = Groups(self._name)
            stack.callback(self._groups.remove)
            self.world = World(self._name)
            stack.callback(self.world.close)
            stack.callback(self._switch_off)
            self._switch_on()
            self._leftovers = stack.pop_all()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Switch it off and remove what it wrote."""
        self._leftovers.close()

    def run(self, *command: str, stdin: str = "", seconds: float = SECONDS, check: bool = True) -> Done:
        """Run a command as root in the machine. Raises MachineError; with `check` also when it fails."""
        # (nsenter does not take the machine's control groups along.)
        kinds = ("--mount", "--uts", "--ipc", "--net", "--pid", "--time")
        enter = ("nsenter", f"--target={self._leader}", *kinds, "--")
        done = run_inside(enter, command, stdin=stdin, seconds=seconds, check=check, fails_with=MachineError)
        return Done(done.returncode, done.stdout, done.stderr)

    def sh(self, script: str, *, seconds: float = SECONDS) -> str:
        """Run a shell script that stops at the first failure; return what it printed. Raises MachineError."""
        return self.run("sh", "-eu", stdin=script, seconds=seconds).stdout

    def _prepare(self, files: Path) -> None:
        """Lay over the tree what the machine has besides."""
        home = files / "home" / "alice"
        copy_clone(home / "dockerfw")
        # A user's file, in a folder that other users may write to: it must not be installed.
        run("chown", "-R", "1000:1000", str(home))
        run("chmod", "-R", "g+w", str(home))

    def changed_files(self) -> dict[str, str]:
        """Return what differs from the tree: each path with its kind, mode, owner and digest, or "gone"."""
        return changed_files(self._tree, self._folder / "upper")

    def reboot(self) -> None:
        """Reboot it as an admin does. Raises MachineError."""
        process = self._process
        assert process is not None
        self.run("systemctl", "reboot", check=False)
        # With --keep-unit, systemd-nspawn leaves the restart to its caller.
        self._await("the end of all processes", lambda: process.poll() is not None)
        self._switch_off()
        self._switch_on()

    def cut_power(self) -> None:
        """End all of its processes at one blow, and switch it on again. Raises MachineError."""
        self._switch_off()
        self._switch_on()

    def _switch_on(self) -> None:
        # The old cable goes with the last process that saw its other end.
        self._await("the end of the old cable", lambda: not self.world.has_cable())
        boottime, monotonic = (int(time.clock_gettime(clock)) for clock in CLOCKS)
        command = [
            # Whatever becomes of this process, the machine ends with it.
            *("setpriv", "--pdeathsig", "KILL", "--", *self._groups.enter(), *self.world.enter()),
            *("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"),
            *(
                "--time",
                f"--boottime=-{boottime}",
                f"--monotonic=-{monotonic}",
                "--",
                "env",
                f"TREE={self._tree}",
                f"FOLDER={self._folder}",
                "sh",
                "-euc",
                START,
                "sh",
            ),
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--kill-signal=SIGKILL"),
            *("--directory", str(self._folder / "root"), "--machine", self._name, "--network-veth"),
            *([f"systemd.unit={self._target}"] if self._target else []),
        ]
        with self.console.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._await("a process 1", self._find_leader)
        self._await("the cable", self.world.has_cable)
        self.world.plug_in()
        self._await("a system bus", lambda: self.run("busctl", "status", check=False).status == 0)
        self.run("systemctl", "is-system-running", "--wait", check=False)

    def _switch_off(self) -> None:
        """End whatever is left of its processes, all at once."""
        if self._process is not None:
            # systemd-nspawn is the first of a process namespace: it is not gone before all in there are.
            with contextlib.suppress(OSError):
                for nspawn in _children(self._process.pid):
                    os.kill(nspawn, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS)
            self._process.kill()
            self._process.wait()
        self._process, self._leader = None, 0

    def _find_leader(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            said = self.console.read_text(errors="replace")[-2000:]
            raise MachineError(f"the machine ended by itself:\n{said}")
        with contextlib.suppress(OSError):
            for nspawn in _children(self._process.pid):
                for child in _children(nspawn):
                    status = Path(f"/proc/{child}/status").read_text()
                    # Its number here, in systemd-nspawn's process namespace, and in the machine.
                    numbers = status.partition("NSpid:")[2].split("\n")[0].split()
                    if numbers[2:] == ["1"] and "systemd" in Path(f"/proc/{child}/comm").read_text():
                        self._leader = child
                        return True
        return False

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not ready():
            if time.monotonic() > deadline:
                end = self.console.read_text(errors="replace")[-2000:]
                raise MachineError(f"{what} did not come within {SECONDS:.0f} s:\n{end}")
            time.sleep(0.1)


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
