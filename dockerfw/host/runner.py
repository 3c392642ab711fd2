"""Runs commands: argument lists only, each with a time limit and bounded output, several at a time.

Owns the starting, feeding, reading and ending of child processes and the error that tells what went wrong. It
must not know what a command means. No shell is ever involved.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from dockerfw.host.errors import HostError

MAX_OUTPUT_BYTES = 64 * 1024 * 1024
MAX_STDERR_BYTES = 16_000
_CHUNK = 1 << 18
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
# Descriptors that every command inherits. The lock on this host's rules is one: it stays held until the last
# command that was started under it has ended, also when the process that took it was killed.
passed_on: set[int] = set()
_PACKAGES = {
    "ip": "iproute2",
    "ipset": "ipset",
    "nft": "nftables",
    "ss": "iproute2",
    "unshare": "util-linux",
}


class CommandFailed(HostError):  # noqa: N818 - it states a fact about the command
    """A command did not do its work: `reason` in a few words, with the command's own standard error.

    `exit_status` is None when the command was not there or had to be ended; a signal's number is negative.
    """

    def __init__(self, command: Sequence[str], reason: str, exit_status: int | None, stderr: str) -> None:
        super().__init__(
            f"`{' '.join(command)}` {reason}" + (f": {stderr.strip()}" if stderr.strip() else "")
        )
        self.command = tuple(command)
        self.reason = reason
        self.exit_status = exit_status
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Command:
    """One command to run: its words, what it reads, its time limit in seconds, variables to add."""

    words: tuple[str, ...]
    stdin: bytes | None = None
    seconds: float = 15.0
    environment: Mapping[str, str] | None = None


def run(command: Command) -> bytes:
    """Run one command and return what it printed. Raises CommandFailed."""
    result = run_all([command])[0]
    if isinstance(result, CommandFailed):
        raise result
    return result


def run_all(commands: Sequence[Command]) -> list[bytes | CommandFailed]:
    """Run commands side by side; for each return what it printed, or its failure."""
    with selectors.DefaultSelector() as selector:
        running = [_Running(command, selector) for command in commands]
        try:
            while selector.get_map():
                _wait(selector, running)
        finally:
            results = [child.result() for child in running]
    return results


def command_path() -> str:
    """Return the search path for commands: this process's own, then the system's folders."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH"), _SYSTEM_PATH)))


class _Running:
    """A started command and what it has printed so far."""

    def __init__(self, command: Command, selector: selectors.BaseSelector) -> None:
        self.command = command
        self.deadline = time.monotonic() + command.seconds
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.failure: str | None = None
        self._selector = selector
        self._open: set[IO[bytes]] = set()
        self._left = memoryview(command.stdin or b"")
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                command.words,
                stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(command),
                bufsize=0,
                pass_fds=tuple(passed_on),
            )
        except OSError as error:
            self.failure = _why_not_started(command.words[0], error)
            return
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                self._watch(stream)

    def _watch(self, stream: IO[bytes]) -> None:
        assert self._process is not None
        os.set_blocking(stream.fileno(), False)
        event = selectors.EVENT_WRITE if stream is self._process.stdin else selectors.EVENT_READ
        self._selector.register(stream, event, self)
        self._open.add(stream)

    def _close(self, stream: IO[bytes]) -> None:
        self._selector.unregister(stream)
        self._open.discard(stream)
        with contextlib.suppress(OSError):
            stream.close()

    def handle(self, stream: IO[bytes]) -> None:
        """Move bytes on a stream that is ready."""
        assert self._process is not None
        if stream not in self._open:
            return
        if stream is self._process.stdin:
            self._feed(stream)
            return
        data = os.read(stream.fileno(), _CHUNK)
        if not data:
            self._close(stream)
        elif stream is self._process.stderr:
            self.stderr += data[: MAX_STDERR_BYTES - len(self.stderr)]
        else:
            self.stdout += data
            if len(self.stdout) > MAX_OUTPUT_BYTES:
                self.end(f"printed more than {MAX_OUTPUT_BYTES} bytes")

    def _feed(self, stream: IO[bytes]) -> None:
        try:
            self._left = self._left[os.write(stream.fileno(), self._left[:_CHUNK]) :]
        except BrokenPipeError:
            # The command has ended already; its status and its words tell why.
            self._left = memoryview(b"")
        if not self._left:
            self._close(stream)

    def end(self, reason: str) -> None:
        """Kill the command because of `reason`."""
        self.failure = reason
        for stream in list(self._open):
            self._close(stream)
        if self._process is not None:
            self._process.kill()

    def result(self) -> bytes | CommandFailed:
        """Wait for the end and return what was printed or why it failed."""
        if self._open:
            self.end("was interrupted")
        status = None
        if self._process is not None:
            try:
                status = self._process.wait(max(0.1, self.deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.end(f"was not done within {self.command.seconds:g} s")
                self._process.wait()
        if self.failure is None and status == 0:
            return bytes(self.stdout)
        reason = self.failure or _how_it_ended(status)
        return CommandFailed(
            self.command.words,
            reason,
            None if self.failure else status,
            self.stderr.decode("utf-8", "replace"),
        )


def _wait(selector: selectors.BaseSelector, running: Sequence[_Running]) -> None:
    busy = {id(key.data): key.data for key in selector.get_map().values()}
    pause = min(child.deadline for child in busy.values()) - time.monotonic()
    for key, _ in selector.select(max(0.0, pause)):
        key.data.handle(key.fileobj)
    now = time.monotonic()
    for child in busy.values():
        if child.deadline <= now and child.failure is None:
            child.end(f"was not done within {child.command.seconds:g} s")


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was ended by signal {-status}"
    return f"failed with status {status}"


def _environment(command: Command) -> dict[str, str]:
    # Nothing else of ours is passed on: children need no secrets, and answer in plain English.
    environment = {"PATH": command_path(), "LC_ALL": "C"}
    if "XTABLES_LOCKFILE" in os.environ:
        environment["XTABLES_LOCKFILE"] = os.environ["XTABLES_LOCKFILE"]
    return {**environment, **(command.environment or {})}


def _why_not_started(program: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"cannot run: install the package {_PACKAGES.get(program, 'iptables')}"
    return f"cannot run: {error.strerror or error}"
