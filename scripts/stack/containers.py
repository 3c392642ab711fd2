"""The containers of the sandbox: `python -m scripts.stack.containers` answers on their ports.

One of them, logs/metrics, asks the host's node_exporter for its figures, as Prometheus does: the usual
traffic from a container to its host.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time
from typing import Final

from scripts.stack.programs import answer, listen
from scripts.stack.shop import CONTAINERS, METRICS, NODE_EXPORTER

PAUSE: Final = 15.0
PATIENCE: Final = 2.0


def main() -> int:
    """Answer until the process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    opened = [listen("tcp", each.address, port) for each in CONTAINERS for port in each.listening]
    threading.Thread(target=_ask_node_exporter, daemon=True).start()
    answer(opened)


def _ask_node_exporter() -> None:
    gateway = str(METRICS.network.gateway.ip)
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((gateway, NODE_EXPORTER), PATIENCE, (METRICS.address, 0)).close()
        time.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(main())
