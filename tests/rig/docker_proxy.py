"""Docker's own docker-proxy in a namespace, without an engine: a listening socket as Docker makes it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.rig.namespace import Namespace, end_process, wait_until

PROGRAM = "/usr/sbin/docker-proxy"


@contextlib.contextmanager
def docker_proxy(
    namespace: Namespace, port: int, address: str = "0.0.0.0", *, before: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Have docker-proxy hold a TCP port for a `with` block; `before` are words before its own."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed (Debian package docker.io)")
    words = f"-proto tcp -host-ip {address} -host-port {port} -container-ip 172.17.0.2 -container-port 80"
    # It reports to dockerd on descriptor 3.
    process = namespace.start(*before, "sh", "-c", f"exec {PROGRAM} {words} 3>/dev/null")
    try:
        wait_until("docker-proxy", lambda: f":{port} " in namespace.output("ss", "-Hltn"))
        yield process
    finally:
        end_process(process)
