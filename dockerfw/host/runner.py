"""Runs commands, several at a time: argument lists without a shell, with a time limit and bounded output.

What a command means is up to the other modules.
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

from dockerfw.host import sentences
from dockerfw.host.errors import HostError

MAX_OUTPUT_BYTES = 64 * 1024 * 1024
MAX_STDERR_BYTES = 16_000
_CHUNK = 1 << 18
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
# Descriptors that every command inherits. One is the lock on this host's rules: it stays held until the last
# command that was started under it has ended, even if the process that took the lock was killed.
passed_on: set[int] = set()
_PACKAGES = {
    "ip": "iproute2",
    "ipset": "ipset",
    "nft": "nftables",
    "ss": "iproute2",
    "unshare": "util-linux",
}


class CommandFailed(HostError):  # noqa: N818 - it states a fact about the command
    """A command failed: `reason` says how, `stderr` is what it printed itself.

    `exit_status` is None if the command could not be started or had to be ended; it is negative for a signal.
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
    """One command to run: its words, its input, its time limit in seconds, additional variables.

    One that prints more than `most_bytes` is ended.
    """

    words: tuple[str, ...]
    stdin: bytes | None = None
    seconds: float = 15.0
    environment: Mapping[str, str] | None = None
    most_bytes: int | None = None


def run(command: Command) -> bytes:
    """Run one command and return its output. Raises CommandFailed."""
    result = run_all([command])[0]
    if isinstance(result, CommandFailed):
        raise result
    return result


def run_all(commands: Sequence[Command]) -> list[bytes | CommandFailed]:
    """Run commands at the same time and return, for each, its output or its failure."""
    with selectors.DefaultSelector() as selector:
        running = [_Running(command, selector) for command in commands]
        try:
            while selector.get_map():
                _wait(selector, running)
        finally:
            results = [child.result() for child in running]
    return results


def command_path() -> str:
    """Return the search path for commands: that of this process, then the system's folders."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH"), _SYSTEM_PATH)))


class _Running:
    """A started command and its output so far."""

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
        """Read from or write to a stream that is ready."""
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
            most = self.command.most_bytes or MAX_OUTPUT_BYTES
            if len(self.stdout) > most:
                self.end(sentences.TOO_MUCH_OUTPUT.format(bytes=most))

    def _feed(self, stream: IO[bytes]) -> None:
        try:
            self._left = self._left[os.write(stream.fileno(), self._left[:_CHUNK]) :]
        except BrokenPipeError:
            # The command has ended already; its status and standard error tell why.
            self._left = memoryview(b"")
        if not self._left:
            self._close(stream)

    def end(self, reason: str) -> None:
        """Kill the command and note the reason."""
        self.failure = reason
        for stream in list(self._open):
            self._close(stream)
        if self._process is not None:
            self._process.kill()

    def result(self) -> bytes | CommandFailed:
        """Wait until the command has ended and return its output or its failure."""
        if self._open:
            self.end(sentences.INTERRUPTED)
        status = None
        if self._process is not None:
            try:
                status = self._process.wait(max(0.1, self.deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.end(sentences.TIMED_OUT.format(seconds=self.command.seconds))
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
            child.end(sentences.TIMED_OUT.format(seconds=child.command.seconds))


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return sentences.KILLED.format(signal=-status)
    return sentences.FAILED.format(status=status)


def _environment(command: Command) -> dict[str, str]:
    # Commands get no other variables: no secrets, and messages in plain English.
    environment = {"PATH": command_path(), "LC_ALL": "C"}
    if "XTABLES_LOCKFILE" in os.environ:
        environment["XTABLES_LOCKFILE"] = os.environ["XTABLES_LOCKFILE"]
    return {**environment, **(command.environment or {})}


def _why_not_started(program: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return sentences.NOT_INSTALLED.format(package=_PACKAGES.get(program, "iptables"))
    return sentences.NOT_STARTED.format(why=error.strerror or error)
