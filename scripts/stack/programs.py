"""The host's own programs in the sandbox: `python -m scripts.stack.programs PARENT NAME=DESCRIPTOR,… …`.

Each is a process of that name, so that the pages show it beside its port. It accepts connections and closes
them. The sockets come from the sandbox, because these processes have no capability to open a low port.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from scripts.stack.lifetime import end_with
from scripts.stack.shop import PROGRAMS

_PR_SET_NAME = 15
_LIBC = ctypes.CDLL(None, use_errno=True)


def start_programs() -> None:
    """Open the sockets of all programs, and start them; they end with this process."""
    opened = {
        program.name: [listen(*place) for place in program.places if has_ipv6() or ":" not in place[1]]
        for program in PROGRAMS
    }
    descriptors = {name: [each.fileno() for each in sockets] for name, sockets in opened.items()}
    # A process with more capabilities than the root worker's would have no name on the pages.
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
    words = [f"{name}={','.join(map(str, numbers))}" for name, numbers in descriptors.items()]
    started = subprocess.Popen(
        [*bare, sys.executable, "-m", __name__, str(os.getpid()), *words],
        pass_fds=[number for numbers in descriptors.values() for number in numbers],
        stdin=subprocess.DEVNULL,
    )
    for sockets in opened.values():
        for each in sockets:
            each.close()
    # It keeps running after exec(), and ends with the command.
    started.returncode = 0


def has_ipv6() -> bool:
    """Return True if this kernel has IPv6."""
    return Path("/proc/sys/net/ipv6").exists()


def listen(protocol: str, address: str, port: int) -> socket.socket:
    """Open a listening socket; one for IPv6 takes IPv6 only."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind((address, port))
    if protocol == "tcp":
        opened.listen()
    return opened


def answer(sockets: Iterable[socket.socket]) -> NoReturn:
    """Accept and close every connection, and drop every datagram, until the process is killed."""
    with selectors.DefaultSelector() as ready:
        for each in sockets:
            each.setblocking(False)
            ready.register(each, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                opened = key.fileobj
                assert isinstance(opened, socket.socket)
                with contextlib.suppress(OSError):
                    if opened.type == socket.SOCK_STREAM:
                        opened.accept()[0].close()
                    else:
                        opened.recv(1)


def main(arguments: Sequence[str]) -> int:
    """Start a process for each program, and wait until the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(int(arguments[0]))
    opened = {}
    for argument in arguments[1:]:
        name, _, numbers = argument.partition("=")
        opened[name] = [socket.socket(fileno=int(number)) for number in numbers.split(",")]
    own = os.getpid()
    for name in opened:
        if os.fork() == 0:
            end_with(own)
            _become(name, opened)
    _close(opened)
    signal.pause()
    return 0


def _become(name: str, opened: dict[str, list[socket.socket]]) -> NoReturn:
    _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    own = opened.pop(name)
    _close(opened)
    answer(own)


def _close(opened: dict[str, list[socket.socket]]) -> None:
    for sockets in opened.values():
        for each in sockets:
            each.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
