"""A run of `scripts/run` with its sandbox, with data and a port of its own, and access to its kernel."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from redis import Redis

from tests.rig.namespace import PATIENCE, CommandError, Family, end_process, iptables_program, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
# The part of the command line that identifies each process of the stack.
PROCESS_WORDS = {
    "redis": ("redis", "valkey"),
    "root worker": ("dockerfw agent",),
    "clerk": ("clerk",),
    "web": ("gunicorn",),
}


class Stack:
    """One run of scripts/run; `address` is where its pages are."""

    # The clone, the words before the script and after it, and where the data is.
    clone = ROOT
    inside: Sequence[str] = ()
    words: Sequence[str] = ("--no-traffic",)
    above: str | None = None

    def __init__(self) -> None:
        """Start it with empty data and wait for the address that it prints."""
        self.directory = Path(tempfile.mkdtemp(prefix="dockerfw-story-", dir=self.above))
        # Started by root, the web process runs as an ordinary user, who needs access.
        self.directory.chmod(0o711)
        self.data = self.directory / "data"
        self.output = self.directory / "output"
        self.port = _free_port()
        self.setup_link = ""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.delete()
            raise

    @property
    def address(self) -> str:
        """The first part of every address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Run `scripts/run` until it has printed where its logs are, the last line of its welcome."""
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("DOCKERFW_", "DJANGO_"))
        }
        with self.output.open("wb") as sink:
            self._process = subprocess.Popen(
                # It ends with this process, even when that is killed.
                [
                    *("setpriv", "--pdeathsig", "TERM", "--", *self.inside),
                    *("scripts/run", "--port", str(self.port), *self.words),
                ],
                cwd=self.clone,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**clean, **self.variables()},
                start_new_session=True,
            )
        # (The first one makes an environment.)
        wait_until("scripts/run", self._welcomed, seconds=180)
        found = re.search(rf"{re.escape(self.address)}/setup/\S+", self.printed())
        self.setup_link = found[0] if found else ""

    def variables(self) -> dict[str, str]:
        """Return the settings of the run."""
        return {"DOCKERFW_DATA_DIR": str(self.data)}

    def _welcomed(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise CommandError(f"scripts/run ended with status {self._process.returncode}:\n{self.printed()}")
        return "Ctrl-C stops everything" in self.printed()

    def is_running(self) -> bool:
        """Return True until scripts/run has ended."""
        return self._process is not None and self._process.poll() is None

    def printed(self) -> str:
        """Return what scripts/run printed."""
        return self.output.read_text(errors="replace")

    def stop(self) -> int:
        """Press Ctrl-C and return the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE)

    def wait_for_end(self) -> int:
        """Wait until scripts/run ends by itself and return its exit status."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def leftovers(self) -> list[str]:
        """Return the command lines of processes that still run with this run's data."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def pids(self) -> list[int]:
        """Return the processes that run with this run's data."""
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.data).encode() in (directory / "environ").read_bytes():
                    found.append(int(directory.name))
        return found

    def pid(self, name: str) -> int:
        """Return the id of one of the stack's processes: redis, root worker, clerk or web."""
        assert self._process is not None
        own = self._process.pid
        for child in Path(f"/proc/{own}/task/{own}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode().replace("\0", " ")
            if any(word in words for word in PROCESS_WORDS[name]):
                return int(child)
        raise CommandError(f"no {name} among the children of scripts/run")

    @property
    def started(self) -> int:
        """The id of the process of scripts/run itself."""
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> Path:
        """The code that the processes run: the clone, or root's copy of it."""
        return Path(os.readlink(f"/proc/{self.pid('root worker')}/cwd"))

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop one process for a `with` block, as if it hung."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def slowed(self, name: str, seconds: float) -> Iterator[None]:
        """Stop one process for the first `seconds` of a `with` block."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            os.kill(pid, signal.SIGCONT)

    def in_sandbox(self, *command: str) -> str:
        """Run a command in the network namespace of the root worker and return what it printed."""
        target = f"--target={self.pid('root worker')}"
        own_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        done = subprocess.run(
            ["nsenter", target, "--net", *own_user, "--", *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise CommandError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def kernel_rules(self, family: Family = 4) -> list[str]:
        """Return the filter table's rules as the sandbox's kernel holds them, without counters."""
        saved = self.in_sandbox(iptables_program("nft", family, "save"), "-t", "filter")
        return [line for line in saved.splitlines() if line.startswith("-A ")]

    def our_rules(self, family: Family = 4) -> list[str]:
        """Return dockerfw's rules without the revision's label, which changes with every apply."""
        ours = [line for line in self.kernel_rules(family) if line.startswith("-A FILTERS")]
        return [re.sub(r'"dockerfw r\d+ \w+"', '"label"', line) for line in ours]

    def redis_url(self, name: str) -> str:
        """Return the address of Redis that one of the processes was given, with its user and password."""
        variables = Path(f"/proc/{self.pid(name)}/environ").read_bytes().decode().split("\0")
        return dict(line.split("=", 1) for line in variables if "=" in line)["DOCKERFW_REDIS_URL"]

    def forget_snapshot(self) -> None:
        """Delete the last snapshot from Redis, as when the root worker has been silent for long."""
        with Redis.from_url(self.redis_url("root worker"), socket_timeout=PATIENCE) as connection:
            connection.set("dockerfw:snapshot:local", "", px=1)
        time.sleep(0.01)

    def manage(self, *arguments: str, password: str = "") -> str:
        """Run manage.py with this run's data and return what it printed."""
        environment = {
            **os.environ,
            "DOCKERFW_DATA_DIR": str(self.data / "web"),
            "DJANGO_SUPERUSER_PASSWORD": password,
        }
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise CommandError(f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def delete(self) -> None:
        """End the run and remove its data."""
        if self._process is not None:
            end_process(self._process, patience=20)
        shutil.rmtree(self.directory, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
