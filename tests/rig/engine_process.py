"""Starts and ends one dockerd inside a namespace or a tree, and removes the control groups it leaves."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.rig.namespace import PATIENCE, CommandError, wait_until


class EngineProcess:
    """One dockerd. `prefix` are the words that run a command where it lives, `pid_file` its path there."""

    def __init__(
        self,
        prefix: Sequence[str],
        *,
        pid_file: str,
        cgroup: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._prefix = tuple(prefix)
        self._pid_file = pid_file
        self._cgroup = cgroup
        self._log = log
        self._environment = None if environment is None else dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, answers: Callable[[], bool]) -> None:
        """Start dockerd with these options, and wait until `answers` returns True. Raises CommandError."""
        command = ("dockerd", f"--cgroup-parent={self._cgroup}", *options)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        wait_until("dockerd", lambda: self._is_up(answers))

    def _is_up(self, answers: Callable[[], bool]) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise CommandError(f"dockerd ended:\n{self.log()[-2000:]}")
        return answers()

    def log(self) -> str:
        """Return what the daemon logged."""
        return self._log.read_text(errors="replace")

    def stop(self, *, seconds: float) -> None:
        """End dockerd as an init system does, and kill it after `seconds`. Does nothing where none runs."""
        if self._process is None:
            return
        # nsenter forks for the process namespace: the daemon itself is its child.
        words = [*self._prefix, "sh", "-c", f"kill -TERM $(cat {self._pid_file})"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(words, timeout=PATIENCE, capture_output=True, check=False)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        self._process = None


def remove_cgroups(name: str) -> None:
    """Remove the empty control groups of an engine, in every hierarchy."""
    # Other engines' groups may come and go meanwhile, which os.walk tolerates and a glob does not.
    for path, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if name in Path(path).parts:
            with contextlib.suppress(OSError):
                os.rmdir(path)
