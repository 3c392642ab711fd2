"""Gunicorn's threaded worker, with threads that wait for no client.

The main loop reads a request completely before a thread handles it, and waits for the client after the
answer. So clients that send slowly or nothing occupy no thread. Applies, passwords and requests without a
session have threads of their own (lanes), so that Keep works while all other threads are busy, no flood of
requests without a session delays a page of an admin, and two passwords at most are hashed at a time.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from ipaddress import IPv6Address, ip_address
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn import http
from gunicorn.workers.gthread import TConn, ThreadWorker

from dockerfw_site.allocator import return_memory
from dockerfw_site.garbage import Collector
from dockerfw_site.incoming import MIB, MOST_ANONYMOUS_BYTES, Incoming, Lane, Refused

THREADS = {Lane.APPLY: 4, Lane.PASSWORDS: 2, Lane.PAGES: 6, Lane.ANONYMOUS: 2}
# Complete requests of a lane, those that its threads handle included.
MOST_IN_LANE = 64
# Passwords of one address, so that a flood from elsewhere lets an admin sign in.
MOST_PASSWORDS_BY_PEER = 16
# Connections without a complete request. Beyond, the oldest of the address with the most of them is closed.
MOST_OPEN = 512
MOST_OPEN_BY_PEER = 64
# All bodies of over 64 KiB together, whether they arrive, wait or are handled.
MOST_LARGE_BYTES = 48 * MIB
SEND_SECONDS = 15.0
LINGER_SECONDS = 2.0
SWEEP_SECONDS = 0.25
READ_BYTES = 64 * 1024
# The kernel takes at most net.core.wmem_max, which is enough for the pages and files that need no session.
SEND_BUFFER_BYTES = MIB


class Lanes:
    """The threads of each lane, in the place of gunicorn's one pool."""

    def __init__(self) -> None:
        """Create the pools; their threads start when needed."""
        self._pools = {
            lane: ThreadPoolExecutor(count, thread_name_prefix=lane) for lane, count in THREADS.items()
        }

    def submit(self, handle: Callable[[TConn], bool], conn: TConn) -> Future[bool]:
        """Let a thread of the request's lane handle it."""
        return self._pools[conn.incoming.lane].submit(handle, conn)

    def shutdown(self, *, wait: bool) -> None:
        """Stop all threads."""
        for pool in self._pools.values():
            pool.shutdown(wait=wait)


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Reads each request before a thread handles it, and bounds what clients can hold."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin without connections."""
        super().__init__(*args, **kwargs)
        # The connections that the main loop waits for, the oldest first, with their deadlines.
        self.open: dict[TConn, float] = {}
        self.peers: Counter[str] = Counter()
        self.in_lane: Counter[Lane] = Counter()
        self.passwords: Counter[str] = Counter()
        self.large_bytes = 0
        self.next_sweep = 0.0
        self.collector = Collector()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.most_open = MOST_OPEN if files == resource.RLIM_INFINITY else min(MOST_OPEN, files // 2)

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse TLS, which a proxy has to do, because this worker reads plain bytes."""
        if cfg.is_ssl:
            raise RuntimeError("dockerfw's web worker does not speak TLS. Use a proxy (docs/install.md).")
        super().check_config(cfg, log)

    def run(self) -> None:
        """Serve until the process is told to end."""
        return_memory()
        self.collector.start()
        super().run()

    def get_thread_pool(self) -> Lanes:
        """Return the lanes."""
        return Lanes()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; if no descriptor is left, close the oldest connection instead of failing."""
        try:
            super().accept(listener)
        except OSError:
            if not self.open:
                raise
            self._end(next(iter(self.open)))

    def enqueue_req(self, conn: TConn) -> None:
        """Wait for the request of a new connection in the main loop."""
        conn.peer, conn.drained = _peer_of(conn.client), 0
        conn.incoming = Incoming(time.monotonic(), settings.SESSION_COOKIE_NAME)
        with contextlib.suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if self.peers[conn.peer] >= MOST_OPEN_BY_PEER:
            self._end_oldest_of(conn.peer)
        elif len(self.open) >= self.most_open:
            self._end_oldest_of(self.peers.most_common(1)[0][0])
        self._watch(conn, conn.incoming.deadline, self._read)

    def handle_request(self, req: Any, conn: TConn) -> bool:
        """Handle a request in a thread, which waits only so long until the client has taken the answer."""
        conn.sock.settimeout(SEND_SECONDS)
        try:
            return bool(super().handle_request(req, conn))
        finally:
            # The client has the whole answer.
            self.collector.after_answer()

    def finish_request(self, conn: TConn, fs: Future[bool]) -> None:
        """Wait in the main loop, not in a thread, until the client has taken the answer."""
        self._count(conn, -1)
        self._release(conn)
        self._linger(conn)

    def murder_pending(self) -> None:
        """End the connections whose deadline has passed. The main loop calls this after each event."""
        now = time.monotonic()
        if now < self.next_sweep:
            return
        self.next_sweep = now + SWEEP_SECONDS
        for conn, deadline in list(self.open.items()):
            if not self.alive and not conn.incoming.began:
                self._end(conn)
            elif deadline <= now:
                if conn.incoming.began and not conn.incoming.complete and not conn.drained:
                    self._refuse(conn, Refused("408 Request Timeout", "The request did not arrive in time."))
                else:
                    self._end(conn)

    def _read(self, conn: TConn) -> None:
        piece = _receive(conn)
        if piece is None:
            return
        if not piece:
            self._end(conn)
            return
        incoming = conn.incoming
        head_is_new = not incoming.size
        try:
            incoming.add(piece, time.monotonic())
            if head_is_new and incoming.size > MOST_ANONYMOUS_BYTES:
                self._reserve(conn)
            if incoming.complete:
                self._hand_over(conn)
            else:
                self.open[conn] = incoming.deadline
        except Refused as refused:
            self._refuse(conn, refused)

    def _hand_over(self, conn: TConn) -> None:
        full = self.in_lane[conn.incoming.lane] >= MOST_IN_LANE
        if full or (
            self.passwords[conn.peer] >= MOST_PASSWORDS_BY_PEER and conn.incoming.lane == Lane.PASSWORDS
        ):
            raise _busy()
        self._unwatch(conn)
        self._count(conn, 1)
        # A parser that has these bytes and no socket, so that no thread can wait for more of them.
        conn.parser = http.get_parser(self.cfg, [conn.incoming.take()], conn.client)
        conn.initialized = conn.data_ready = True
        super().enqueue_req(conn)

    def _count(self, conn: TConn, change: int) -> None:
        self.in_lane[conn.incoming.lane] += change
        if conn.incoming.lane == Lane.PASSWORDS:
            self.passwords[conn.peer] += change
            if not self.passwords[conn.peer]:
                del self.passwords[conn.peer]

    def _reserve(self, conn: TConn) -> None:
        """Count a large body. The oldest that is still arriving has to give way. Raises Refused."""
        size = conn.incoming.size
        for other in list(self.open):
            if self.large_bytes + size <= MOST_LARGE_BYTES:
                break
            if getattr(other, "large", 0):
                self._end(other)
        if self.large_bytes + size > MOST_LARGE_BYTES:
            raise _busy()
        conn.large = size
        self.large_bytes += size

    def _release(self, conn: TConn) -> None:
        self.large_bytes -= getattr(conn, "large", 0)
        conn.large = 0

    def _refuse(self, conn: TConn, refused: Refused) -> None:
        body = f"{refused}\n".encode()
        head = (
            f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self._unwatch(conn)
        self._release(conn)
        with contextlib.suppress(OSError):
            conn.sock.send(head.encode() + body)
        self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        """Let the client read the answer: closing with bytes unread would reset the connection."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            conn.drained = 1
            self._watch(conn, time.monotonic() + LINGER_SECONDS, self._drain)

    def _drain(self, conn: TConn) -> None:
        piece = _receive(conn)
        if piece is None:
            return
        conn.drained += len(piece)
        if not piece or conn.drained > MIB:
            self._end(conn)

    def _watch(self, conn: TConn, deadline: float, callback: Callable[[TConn], None]) -> None:
        conn.sock.setblocking(False)
        self.open[conn] = deadline
        self.peers[conn.peer] += 1
        self.poller.register(conn.sock, EVENT_READ, partial(self._heard, conn, callback))

    def _heard(self, conn: TConn, callback: Callable[[TConn], None], _file: object) -> None:
        # An event before this one, in the same turn of the loop, may have ended the connection.
        if conn in self.open:
            callback(conn)

    def _unwatch(self, conn: TConn) -> None:
        del self.open[conn]
        self.peers[conn.peer] -= 1
        if not self.peers[conn.peer]:
            del self.peers[conn.peer]
        self.poller.unregister(conn.sock)

    def _end_oldest_of(self, peer: str) -> None:
        self._end(next(conn for conn in self.open if conn.peer == peer))

    def _end(self, conn: TConn) -> None:
        self._unwatch(conn)
        self._release(conn)
        self._close(conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()


def _busy() -> Refused:
    return Refused("503 Service Unavailable", "The server is busy. Try again in a few seconds.")


def _receive(conn: TConn) -> bytes | None:
    """Return what has arrived: None if there is nothing yet, empty at the end or after an error."""
    try:
        return bytes(conn.sock.recv(READ_BYTES))
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""


def _peer_of(client: Any) -> str:
    """Return the client's address, of IPv6 the /64, which one machine has for itself."""
    if not isinstance(client, tuple):
        return ""
    address = ip_address(client[0].partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address.packed[:8].hex())
    return str(address)
