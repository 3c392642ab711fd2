"""The log of refused packets without any right on the machine, in a namespace that any user can make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.namespace import Backend, Family

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
# Load rules that refuse everything, start the reader as the root worker does, send one packet, print a batch.
PROGRAM = """
import socket, subprocess, sys
from dockerfw.chains.log_lines import add_log_lines
from dockerfw.chains.render import render, write_restore
from dockerfw.document.document import parse_document
from dockerfw.host.background import start_with_sockets
from dockerfw.host.log_socket import open_log_socket

backend, family = sys.argv[1], int(sys.argv[2])
document = parse_document({"format": "dockerfw/1", "settings": {"trusted_interfaces": []}})
text = write_restore(add_log_lines(render(document, family, 3), family, 3, 7373), family)
program = f"ip{'6' if family == 6 else ''}tables-{backend}-restore"
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run([program, "-n"], input=text.encode(), check=True)
control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
batches, out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
process = start_with_sockets("dockerfw.refused.reader_process", "local", stdin=theirs, stdout=out)
with open_log_socket(7373) as log:
    socket.send_fds(control, [b"log"], [log.fileno()])
kind = socket.AF_INET6 if family == 6 else socket.AF_INET
with socket.socket(kind, socket.SOCK_DGRAM) as one:
    one.sendto(b"x", ("::1" if family == 6 else "127.0.0.1", 3306))
batches.settimeout(60)
print(batches.recv(1 << 17).decode())
control.close()
process.wait(60)
"""


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("family", [4, 6])
def test_an_ordinary_user_reads_what_is_refused(backend: Backend, family: Family, tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-Urn", sys.executable, "-c", PROGRAM, backend, str(family)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT),
            "XTABLES_LOCKFILE": str(tmp_path / "xtables.lock"),
        },
    )
    if "unshare failed" in done.stderr:
        pytest.skip(f"an ordinary user can have no namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert '"port":3306' in done.stdout
    assert '"revision":3' in done.stdout
    assert "cannot" not in done.stderr
