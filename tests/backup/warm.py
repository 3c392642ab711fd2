"""manage.py for a test that calls it often: Django is loaded once, and each is a fork of that process.

`python -m tests.backup.warm` is that process: a line on its standard input is a command, each in a session of
its own, so that it can be killed with all its children.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import IO

from dockerfw.host.files import lock_holders
from tests.backup.installation import ROOT, Installation
from tests.rig.namespace import PATIENCE, wait_until


class WarmInstallation(Installation):
    """An installation whose commands begin sooner; `close` it."""

    def __init__(self, directory: Path, hooks: Path) -> None:
        super().__init__(directory)
        self._out, self._err = directory.with_name("stdout"), directory.with_name("stderr")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.backup.warm"],
            cwd=ROOT,
            env={**self.environment, "DOCKERFW_HOOK_DIR": str(hooks)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.pid = 0

    def start(self, *words: str) -> None:
        """Start manage.py; `pid` is its process then, and the group of all that it starts."""
        _send(self._process.stdin, [*words], str(self._out), str(self._err))
        self.pid = int(self._answer())

    def end(self) -> subprocess.CompletedProcess[bytes]:
        """Wait until the command has ended."""
        status = int(self._answer())
        self.pid = 0
        return subprocess.CompletedProcess([], status, self._out.read_bytes(), self._err.read_bytes())

    def ended(self) -> bool:
        """Return True if the command has ended by itself."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def kill(self) -> None:
        """Kill the command and all that it started, and wait for the end of those that hold locks."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        lock = self.state / "worker.lock"
        wait_until("the end of what was killed", lambda: not lock.exists() or not lock_holders(lock))

    def manage(
        self, *words: str, given: bytes = b"", user: int | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run manage.py."""
        assert not given
        assert user is None
        self.start(*words)
        return self.end()

    def close(self) -> None:
        """End it, and a command that has not ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self.pid and self._process.poll() is None:
            self.kill()
        self._process.wait(PATIENCE)

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _send(to: IO[bytes] | None, words: list[str], out: str, err: str) -> None:
    assert to is not None
    to.write(json.dumps([words, out, err]).encode() + b"\n")
    to.flush()


def _serve() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
    django.setup()
    for module in ("backup.backup_command", "command_line.doctor", "backup.restore_command"):
        import_module(f"rules.{module}")
    for line in sys.stdin:
        words, out, err = json.loads(line)
        pid = os.fork()
        if not pid:
            os.setsid()
            _become_command(words, out, err)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become_command(words: list[str], out: str, err: str) -> None:
    status: object = 1
    try:
        for descriptor, name in enumerate((os.devnull, out, err)):
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, descriptor)
            os.close(file)
        from manage import main

        sys.argv = ["manage.py", *words]
        status = main()
    except SystemExit as end:
        status = end.code
    finally:
        sys.stdout.flush()
        os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    _serve()
