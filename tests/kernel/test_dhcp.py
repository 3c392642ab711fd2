"""The host's own DHCP client, with real packets: it gets and renews its lease with any rules loaded."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.kernel.test_roundtrip import apply
from tests.rig.documents import document
from tests.rig.namespace import Backend, Namespace, join_namespaces, wait_until

pytestmark = pytest.mark.kernel

ADDRESS, SERVER = "192.0.2.50", "192.0.2.254"
# Only requests to the broadcast address get an answer then, as in the second half of a lease.
DEAF = f"*filter\n-A INPUT -d {SERVER}/32 -p udp -m udp --dport 67 -j DROP\nCOMMIT\n"
SCRIPT = """#!/bin/sh
case $1 in bound) ip address add $ip/24 dev ens33 ;; esac
echo $1 >>{log}
"""


def serve(server: Namespace, folder: Path) -> None:
    (folder / "leases").write_text("")
    (folder / "server.conf").write_text(
        f"start {ADDRESS}\nend {ADDRESS}\ninterface eth0\nlease_file {folder}/leases\npidfile {folder}/pid\n"
        "max_leases 5\nopt subnet 255.255.255.0\nopt lease 16\nmin_lease 10\n"
    )
    server.start("busybox", "udhcpd", "-f", str(folder / "server.conf"))


@pytest.mark.parametrize("backend", ["nft"])
def test_a_lease_is_given_renewed_and_bound_again(
    namespace: Namespace, backend: Backend, tmp_path: Path
) -> None:
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    log, script = tmp_path / "log", tmp_path / "script"
    log.write_text("")
    script.write_text(SCRIPT.format(log=log))
    script.chmod(0o755)
    with Namespace("server") as server:
        join_namespaces(namespace, "ens33", server, "eth0")
        server.add_addresses("eth0", f"{SERVER}/24")
        apply(namespace, backend, document(refuse="drop"))
        serve(server, tmp_path)
        client = namespace.start(
            "busybox", "udhcpc", "-f", "-t", "20", "-T", "1", "-i", "ens33", "-s", str(script)
        )
        wait_until("the lease", lambda: "bound" in log.read_text())
        client.send_signal(signal.SIGUSR1)
        wait_until("the renewal", lambda: "renew" in log.read_text())
        server.restore(DEAF, "nft", 4)
        wait_until("the lease bound again", lambda: log.read_text().count("renew") >= 2)
        assert "deconfig" not in log.read_text().split()[1:]
        assert ADDRESS in namespace.output("ip", "-4", "address", "show", "dev", "ens33")
