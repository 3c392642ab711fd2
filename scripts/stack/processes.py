"""Start processes, watch them and end them all.

Each has a session of its own, so that Ctrl-C reaches only the parent, which then ends them in order. The
kernel ends them too when the parent is killed, and what they leave behind comes to the parent to be ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.stack.errors import StackError
from scripts.stack.layout import ROOT
from scripts.stack.lifetime import end_with_parent
from scripts.stack.ownership import WebUser

_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Child:
    """One running process of the stack."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self, lines: int = 15) -> str:
        """The end of what it wrote."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


@dataclass(slots=True)
class Processes:
    """The stack's processes, in the order in which they were started."""

    logs: Path
    children: list[Child] = field(default_factory=list)

    def __post_init__(self) -> None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        user: WebUser | None = None,
        groups: Sequence[int] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Start one process whose output goes to its log, as `user` when one is given."""
        log = self.logs / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                list(command),
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
                pass_fds=tuple(pass_fds),
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[user.gid] if user else groups,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def dead(self) -> Child | None:
        """Return a process that ended by itself, if one did."""
        return next((child for child in self.children if child.process.poll() is not None), None)

    def wait_until(self, what: str, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until `ready`; StackError when a process dies meanwhile or `seconds` pass."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{what} within {seconds:.0f} s did not happen; the logs are in {self.logs}."
                )
            time.sleep(0.05)

    def check(self) -> None:
        """Raise StackError, with its last words, when a process has ended."""
        child = self.dead()
        if child is not None:
            words = child.last_words()
            raise StackError(
                f"{child.name} stopped by itself, status {child.process.returncode}; its log is {child.log}"
                + (f":\n{words}" if words else ".")
            )

    def stop(self, patience: float = 30) -> None:
        """End all, the last started first: SIGTERM, after `patience` seconds SIGKILL."""
        for child in reversed(self.children):
            _end(child.process, patience)
        self.children.clear()
        _end_orphans()


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _end_orphans() -> None:
    """End what our processes started and left: it has become our child (PR_SET_CHILD_SUBREAPER)."""
    for _ in range(50):
        orphans = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not orphans:
            return
        for orphan in orphans:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(int(orphan), signal.SIGKILL)
                os.waitpid(int(orphan), 0)
