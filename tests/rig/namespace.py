"""Network namespaces for tests: each has its own netfilter tables, interfaces and sockets on the real kernel.

A namespace is held open by one child process and by nothing else (no name in /run/netns), so it goes away
with everything in it when the test ends, when it fails and even when pytest itself is killed. As root it is a
plain network namespace; as an ordinary user a user namespace comes with it. Nothing here may load a rule or
send a packet outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from dockerfw.chains.bound_sets import BOUND_SETS, render_creation
from dockerfw.iptables.model import FAMILIES, Family

__all__ = [
    "BACKENDS",
    "FAMILIES",
    "PATIENCE",
    "Backend",
    "CommandError",
    "Family",
    "Namespace",
    "end_process",
    "entering",
    "iptables_program",
    "join_namespaces",
    "wait_until",
    "why_unavailable",
]

Backend = Literal["nft", "legacy"]

# Seconds after which a test gives up waiting for what has to come.
PATIENCE = 120.0

BACKENDS: tuple[Backend, ...] = ("nft", "legacy")

_CLONE_NEWNET = 0x40000000
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandError(AssertionError):
    """A command in a namespace ended with a status other than 0, or not in time."""


def iptables_program(backend: Backend, family: Family, verb: str = "") -> str:
    """Name the program, e.g. ("nft", 6, "save") -> "ip6tables-nft-save"."""
    stem = f"{'iptables' if family == 4 else 'ip6tables'}-{backend}"
    return f"{stem}-{verb}" if verb else stem


def why_unavailable() -> str:
    """Return why no namespace can be made here, or "" when one can."""
    search = os.environ.get("PATH", "") + ":" + _SYSTEM_PATH
    missing = [
        name
        for name in ("unshare", "nsenter", "ip", "iptables-nft-save")
        if not shutil.which(name, path=search)
    ]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian packages util-linux iproute2 iptables)"
    # (Ubuntu's AppArmor may let an ordinary user have a namespace in which he can do nothing.)
    command = ["unshare", "-n" if os.geteuid() == 0 else "-Urn", "ip", "link", "set", "lo", "up"]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return "" if probe.returncode == 0 else f"`{' '.join(command)}` failed: {probe.stderr.strip()}"


class Namespace:
    """One network namespace and the commands that run in it."""

    def __init__(self, label: str = "test") -> None:
        """Make the namespace, with its loopback interface up; `label` only helps people to read `ps`."""
        self.label = label
        self.directory = Path(tempfile.mkdtemp(prefix=f"dockerfw-{label}-"))
        self.environment = {
            **os.environ,
            "PATH": os.environ.get("PATH", "") + ":" + _SYSTEM_PATH,
            "LC_ALL": "C.UTF-8",
            "XTABLES_LOCKFILE": str(self.directory / "xtables.lock"),
        }
        self._root = os.geteuid() == 0
        self._started: list[subprocess.Popen[bytes]] = []
        self._holder = self._hold()
        try:
            self.run("ip", "link", "set", "lo", "up")
        except BaseException:
            self.delete()
            raise

    def _hold(self) -> subprocess.Popen[bytes]:
        flags = ["-n"] if self._root else ["-U", "-r", "-n"]
        # `cat` on our pipe ends by itself when this process does, however it ends.
        holder = subprocess.Popen(
            ["unshare", *flags, "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
        )
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            holder.kill()
            holder.wait(PATIENCE)
            shutil.rmtree(self.directory, ignore_errors=True)
            raise CommandError(why_unavailable() or "unshare made no namespace")
        return holder

    @property
    def pid(self) -> int:
        """The id of the process that holds the namespace, as `ip link set NAME netns PID` takes it."""
        return self._holder.pid

    @property
    def path(self) -> str:
        """The namespace as a file, for `nsenter --net=`."""
        return f"/proc/{self.pid}/ns/net"

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words to put before a command so that it runs inside."""
        if self._root:
            return ("nsenter", f"--net={self.path}", "--")
        return ("nsenter", f"--target={self.pid}", "--user", "--net", "--preserve-credentials", "--")

    def run(
        self,
        *command: str,
        stdin: bytes | str | None = None,
        timeout: float = PATIENCE,
        check: bool = True,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside; raise CommandError when it fails (unless `check` is off) or takes too long.

        `timeout` is in seconds.
        """
        data = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
        shown = " ".join(command)
        try:
            done = subprocess.run(
                [*self.prefix, *command],
                input=data,
                stdin=subprocess.DEVNULL if data is None else None,
                capture_output=True,
                timeout=timeout,
                check=False,
                env={**self.environment, **(environment or {})},
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"{shown}: not done within {timeout} s") from error
        if check and done.returncode != 0:
            output = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
            raise CommandError(f"{shown}: status {done.returncode}\n{output}")
        return done

    def output(self, *command: str, timeout: float = PATIENCE) -> str:
        """Run a command inside and return what it printed."""
        return self.run(*command, timeout=timeout).stdout.decode("utf-8", "surrogateescape")

    def start(
        self,
        *command: str,
        log: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command inside that goes on in the background, at most as long as the namespace."""
        with (log or Path(os.devnull)).open("ab") as sink:
            process = subprocess.Popen(
                # The signal ends it even when pytest is killed and no fixture comes to its end.
                [*self.prefix, "setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**self.environment, **(environment or {})},
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def save(
        self, backend: Backend = "nft", family: Family = 4, *, counters: bool = False, table: str = ""
    ) -> bytes:
        """Return what `iptables-save` prints inside: every table, or only `table`; `-c` with `counters`."""
        program = iptables_program(backend, family, "save")
        options = ["-c"] if counters else []
        if table or self._root or backend == "nft":
            return self.run(program, *options, *(["-t", table] if table else [])).stdout
        # /proc/net/ip_tables_names, which lists the tables in use, is closed to ordinary users.
        saves = [self.run(program, *options, "-t", name).stdout for name in ("mangle", "nat", "filter")]
        return b"".join(saves)

    def restore(
        self,
        text: bytes | str,
        backend: Backend = "nft",
        family: Family = 4,
        *,
        noflush: bool = True,
        counters: bool = False,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Load a restore text inside: `-n` unless `noflush` is off, `-c` with `counters`.

        A text that iptables refuses raises CommandError with its own words, unless `check` is off.
        """
        options = [*(["-n"] if noflush else []), *(["-c"] if counters else [])]
        if backend == "legacy":
            options.extend(["-w", str(int(PATIENCE))])
        return self.run(iptables_program(backend, family, "restore"), *options, stdin=text, check=check)

    def iptables(self, *arguments: str, backend: Backend = "nft", family: Family = 4) -> None:
        """Run one iptables command inside, e.g. `iptables("-A", "INPUT", "-j", "ACCEPT")`."""
        wait = ["-w", str(int(PATIENCE))] if backend == "legacy" else []
        self.run(iptables_program(backend, family), *wait, *arguments)

    def add_interface(self, name: str = "ens33", addresses: Sequence[str] = ("192.0.2.1/24",)) -> None:
        """Add an interface that is up and has these addresses, as one end of a pair."""
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
        self.add_addresses(name, *addresses)
        self.run("ip", "link", "set", name, "up")

    def add_addresses(self, interface: str, *addresses: str) -> None:
        """Give an interface addresses with their networks' lengths, of both families."""
        for address in addresses:
            # Without "nodad" an IPv6 address cannot be used for its first second.
            nodad = ["nodad"] if ":" in address else []
            self.run("ip", "address", "add", address, "dev", interface, *nodad)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread, and what it starts, into the namespace for a `with` block (root only)."""
        if not self._root:
            raise CommandError("only root can enter a namespace; use run()")
        with entering(self.path):
            yield

    def delete(self) -> None:
        """End what runs inside and let the namespace go; safe to call twice."""
        for process in self._started:
            end_process(process)
        self._started.clear()
        if self._holder.stdin is not None:
            self._holder.stdin.close()
        end_process(self._holder)
        if self._holder.stdout is not None:
            self._holder.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()


def end_process(process: subprocess.Popen[bytes], *, patience: float = 5) -> None:
    """Ask a process of ours and its group to end; after `patience` seconds kill them."""
    if process.poll() is None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
                return


@contextlib.contextmanager
def entering(path: str) -> Iterator[None]:
    """Put the calling thread, and what it starts, into a network namespace given as a file (root only)."""
    with open(f"/proc/self/task/{_thread_id()}/ns/net", "rb") as home, open(path, "rb") as inside:
        _setns(inside.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def join_namespaces(one: Namespace, one_name: str, other: Namespace, other_name: str) -> None:
    """Join two namespaces with a veth pair whose ends have these names and are up (root only)."""
    other_end = ("peer", "name", other_name, "netns", str(other.pid))
    one.run("ip", "link", "add", one_name, "type", "veth", *other_end)
    one.run("ip", "link", "set", one_name, "up")
    other.run("ip", "link", "set", other_name, "up")


def add_bound_sets(namespace: Namespace) -> None:
    """Create the sets that rules of a document may name, empty, as the root worker does before a load."""
    namespace.run("ipset", "-exist", "restore", stdin=render_creation(BOUND_SETS))


def wait_until(what: str, happened: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Call `happened` until it returns something true; raise CommandError naming `what` after `seconds`.

    The limit only ends a test that would wait for ever: how long something takes is for `scripts/bench`.
    """
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise CommandError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def _thread_id() -> int:
    return threading.get_native_id()


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
