"""Fixtures for tests on a real Redis: a server of the test run's own, on a unix socket, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from scripts.stack.redis_server import find_server
from tests.rig.namespace import PATIENCE, end_process


class RedisServer:
    """One Redis server without persistence that ends with its parent."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._log = directory / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        options += ["--save", "", "--appendonly", "no", "--dir", str(self.socket.parent)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", find_server(), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.client().ping()
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End the server; what it held is gone."""
        if self._process is not None:
            self.go_on()
            end_process(self._process)
            self._process = None
            self.socket.unlink(missing_ok=True)

    def hang(self) -> None:
        """Let the server accept connections and commands without answering."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End that; what it was sent meanwhile it does now."""
        self._signal(signal.SIGCONT)

    def client(self) -> Redis:
        """Return a new connection."""
        return Redis(unix_socket_path=str(self.socket), socket_timeout=PATIENCE)

    def hasty_client(self) -> Redis:
        """Return a new connection that gives up soon, for good."""
        return Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=0.5,
            socket_connect_timeout=0.5,
            retry=Retry(NoBackoff(), 0),
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[RedisServer]:
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    with tempfile.TemporaryDirectory(prefix="dockerfw-redis-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis_server(_redis_server: RedisServer) -> RedisServer:
    """The session's server, running and empty."""
    try:
        _redis_server.client().flushall()
    except RedisError:
        _redis_server.stop()
        _redis_server.start()
    return _redis_server


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Redis:
    """A connection to the session's server, which is empty."""
    return redis_server.client()
