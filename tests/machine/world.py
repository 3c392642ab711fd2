"""The network around the machine: a namespace at the other end of its cable, with a client."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from types import TracebackType

from tests.machine.tree import ADDRESS, ROUTER, MachineError, run

SECONDS = 60.0
FETCH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5).read()"
# Says how the session ends; a word on standard input makes it ask for a page first.
SESSION = """
import select, socket, sys
session = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
print(session.getsockname()[1], flush=True)
try:
    if sys.stdin in select.select([sys.stdin, session], [], [])[0]:
        session.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print("answered" if session.recv(5) == b"HTTP/" else "closed")
except ConnectionResetError:
    print("reset")
"""


class World:
    """Everything outside of one machine."""

    def __init__(self, name: str) -> None:
        """Make its network namespace. Raises MachineError."""
        self._name = name
        self._cable = f"ve-{name}"
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def close(self) -> None:
        """Remove it."""
        with contextlib.suppress(MachineError):
            run("ip", "netns", "delete", self._name)

    def enter(self) -> list[str]:
        """Return the words that let a command, which is to follow them, run out there."""
        return ["nsenter", f"--net=/run/netns/{self._name}", "--"]

    def has_cable(self) -> bool:
        """Return True if the machine's cable is there; it is a new one at each boot."""
        show = ["ip", "-n", self._name, "link", "show", self._cable]
        return subprocess.run(show, capture_output=True, check=False).returncode == 0

    def plug_in(self) -> None:
        """Give the world's end of the cable its address. Raises MachineError."""
        run("ip", "-n", self._name, "address", "replace", f"{ROUTER}/24", "dev", self._cable)
        run("ip", "-n", self._name, "link", "set", self._cable, "up")

    def answers(self, port: int) -> bool:
        """Ask the machine for a page."""
        ask = [*self.enter(), sys.executable, "-c", FETCH, f"http://{ADDRESS}:{port}/"]
        return subprocess.run(ask, capture_output=True, timeout=SECONDS, check=False).returncode == 0

    def session(self, port: int) -> Session:
        """Open a session with the machine. Raises MachineError."""
        return Session([*self.enter(), sys.executable, "-c", SESSION, ADDRESS, str(port)])


class Session:
    """A TCP connection to the machine, from `port`, that is open and silent; use it in a `with` block."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if not said.isdecimal():
            raise MachineError(f"no session could be opened: {self._process.communicate()[1][-500:]}")
        self.port = int(said)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def ending(self) -> str:
        """Wait until the session ends by itself, and return how: "reset" or "closed"."""
        # (An end of its standard input would be a word as well.)
        self._process.wait(SECONDS)
        assert self._process.stdout is not None
        return self._process.stdout.read().strip()

    def ask(self) -> str:
        """Ask for a page in it; return "answered" when it was still open."""
        return self._process.communicate("ask\n", timeout=SECONDS)[0].strip()
