"""A process that is kept running, as systemd does with Restart=always."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

from tests.rig.namespace import PATIENCE, end_process

RESTART_SECONDS = 0.3


class Supervised:
    """What `start` starts, started again whenever it ends; `close` it."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._start = start
        self.process: subprocess.Popen[bytes] = start()
        self.restarts = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process and do not start it again."""
        self._ending.set()
        self._thread.join(PATIENCE)
        end_process(self.process)

    def _supervise(self) -> None:
        while not self._ending.is_set():
            while self.process.poll() is None:
                if self._ending.wait(0.05):
                    return
            if not self._ending.wait(RESTART_SECONDS):
                self.process = self._start()
                self.restarts += 1
