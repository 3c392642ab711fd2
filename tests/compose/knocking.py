"""An outside client that tries ports of the host again and again, and records the results."""

from __future__ import annotations

import threading
from collections import defaultdict
from types import TracebackType

from tests.rig.connections import Verdict, try_port
from tests.rig.namespace import Namespace, wait_until


class Knocking:
    """Tries these ports from a client for a `with` block; `heard` is what became of each try."""

    def __init__(self, client: Namespace, *ports: tuple[str, int]) -> None:
        self.heard: dict[tuple[str, int], list[Verdict]] = defaultdict(list)
        self._client = client
        self._ports = ports
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._knock)

    def __enter__(self) -> Knocking:
        self._thread.start()
        self.round()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.round()
        finally:
            self._stop.set()
            self._thread.join()

    def _knock(self) -> None:
        while not self._stop.wait(0.05):
            for place in self._ports:
                self.heard[place].append(try_port(self._client, *place, seconds=0.5))

    def round(self) -> None:
        """Wait until each port was tried once more from now on."""
        before = {place: len(self.heard[place]) for place in self._ports}
        tried = 2  # The first one may have been under way.
        wait_until(
            "a try of each port",
            lambda: all(len(self.heard[place]) >= count + tried for place, count in before.items()),
        )
