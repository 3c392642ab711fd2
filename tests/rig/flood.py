"""A flood from clients without an account, in a process of its own, and the priority of what it floods.

`python -m tests.rig.flood http://127.0.0.1:8000 FLOOD...` floods until its input ends, and prints each second
how many connections it has opened and how many sign-ins it has sent. Real attackers are elsewhere and take no
processor time of the host, so the stack that it floods goes before the attack and before other tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.rig.namespace import end_process, wait_until
from tests.rig.visitor import Visitor

STYLES = b"GET /static/rules/pages/dockerfw.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONNECTIONS = 200
SIGN_INS = 80
PREFERRED = -15


class Flood:
    """Connections that a stranger holds open, and the sign-ins that are in flight."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.port = int(address.rpartition(":")[2])
        self.counts: Counter[str] = Counter()

    def hold(self, first: bytes, more: bytes = b"") -> None:
        """Open connections that send `first`, then slowly `more`. What the server closes is opened again."""
        threading.Thread(target=self._hold, args=(first, more), daemon=True).start()

    def sign_ins(self) -> None:
        """Keep wrong sign-ins in flight."""
        for number in range(SIGN_INS):
            threading.Thread(target=self._sign_in, args=(number,), daemon=True).start()

    def _hold(self, first: bytes, more: bytes) -> None:
        held = [self._open(first) for _ in range(CONNECTIONS)]
        pause = threading.Event()
        while not pause.wait(0.5):
            for place, connection in enumerate(held):
                try:
                    connection.send(more)
                    if connection.recv(1, socket.MSG_DONTWAIT) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    continue
                except OSError:
                    connection.close()
                    held[place] = self._open(first)

    def _open(self, first: bytes) -> socket.socket:
        connection = socket.socket()
        with contextlib.suppress(OSError):
            connection.settimeout(2)
            connection.connect(("127.0.0.1", self.port))
            connection.sendall(first)
            self.counts["opened"] += 1
        return connection

    def _sign_in(self, number: int) -> None:
        visitor = Visitor(self.address, seconds=60)
        pause = threading.Event()
        while not pause.wait(0.3):
            with contextlib.suppress(OSError):
                visitor.get("/sign-in/")
                self.counts["tried"] += 1
                visitor.submit("/sign-in/", username=f"stranger{number}", password="not the password")
                self.counts["answered"] += 1


def slow_body(length: int) -> bytes:
    """Return the beginning of a form whose body never ends."""
    head = f"POST /sign-in/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
    return head.encode() + b"Content-Type: application/x-www-form-urlencoded\r\n\r\nusername="


FLOODS: dict[str, Callable[[Flood], None]] = {
    "idle connections": lambda flood: flood.hold(b""),
    "half headers": lambda flood: flood.hold(b"GET / HTTP/1.1\r\nHost: loc", b"a"),
    "slow bodies": lambda flood: flood.hold(slow_body(50_000), b"a"),
    "answers that nobody reads": lambda flood: flood.hold(STYLES),
    "sign-ins": lambda flood: flood.sign_ins(),
}


def prefer(pids: Iterable[int]) -> None:
    """Let processes, and what they start from now on, go before others."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), PREFERRED)
            # Linux first shares the time among sessions, where it groups them (sched(7), autogroup).
            Path(f"/proc/{pid}/autogroup").write_text(str(PREFERRED))


class FloodProcess:
    """The process; `counts` is what it printed last."""

    def __init__(self, address: str, *floods: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.rig.flood", address, *floods],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.counts: dict[str, int] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.counts = json.loads(line)

    def wait_until_flooding(self) -> None:
        """Wait until all its connections were opened and sign-ins are answered."""
        wait_until("the flood", lambda: self.counts.get("opened", 0) >= 4 * CONNECTIONS, seconds=120)
        wait_until("sign-ins", lambda: self.counts.get("tried", 0) >= SIGN_INS, seconds=120)

    def end(self) -> None:
        """End it."""
        end_process(self._process)
        self._reader.join()


@contextlib.contextmanager
def flooding(address: str) -> Iterator[FloodProcess]:
    """Flood an address in all ways at once."""
    process = FloodProcess(address, *FLOODS)
    try:
        process.wait_until_flooding()
        yield process
    finally:
        process.end()


def main(address: str, *floods: str) -> None:
    """Flood until the input ends."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    flood = Flood(address)
    for name in floods:
        FLOODS[name](flood)
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    while not ended.wait(1.0):
        print(json.dumps(flood.counts), flush=True)
    # Without waiting for the last answers.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
