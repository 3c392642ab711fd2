"""A reboot: boot files are loaded into an empty kernel before the engine starts, and still protect after."""

from __future__ import annotations

import pytest

from tests.rig.connections import fetch, listening, try_port
from tests.rig.lab import CLIENT, HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, wait_until

pytestmark = pytest.mark.lab

EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n*nat\nCOMMIT\n"


def reboot(lab: Lab) -> None:
    """Stop the engine, empty the kernel, load the boot files, start the engine."""
    lab.docker.stop_daemon()
    try:
        lab.host.run("ip", "link", "delete", "docker0")
        for family in FAMILIES:
            lab.host.restore(EMPTY, lab.docker.backend, family, noflush=False)
        lab.host.run("ipset", "destroy")
        lab.host.run("sh", str(lab.host.directory / "state" / "boot" / "dockerfw-boot.sh"))
        # Nothing is open between the boot files and the engine.
        assert try_port(lab.client, HOST, 23) == "prohibited"
        assert try_port(lab.client, HOST_6, 23) == "prohibited"
    finally:
        lab.docker.start_daemon()


def check_a_reboot(lab: Lab) -> None:
    lab.load(document(allow("container", 8080), allow("host", 22)), revision=5)
    reboot(lab)
    lab.assert_in_force()
    wait_until("web answers", lambda: fetch(lab.client, HOST, 8080) == "web")
    assert try_port(lab.client, HOST, 8081) == "prohibited"
    # docker-proxy takes IPv6, and the root worker notices that it is there.
    wait_until("web answers over IPv6", lambda: fetch(lab.client, HOST_6, 8080) == "web")
    assert try_port(lab.client, HOST_6, 8081) == "prohibited"
    with listening(lab.host, HOST, 22):
        assert try_port(lab.client, HOST, 22) == "connected"
    with listening(lab.client, CLIENT, 9000, "outside"):
        assert lab.reach_out("web") == f"outside {HOST}"
    lab.load(document(allow("container", 8081)), revision=6)
    assert fetch(lab.client, HOST, 8081) == "other"


def test_the_boot_files_hold_after_a_reboot(lab: Lab) -> None:
    check_a_reboot(lab)


def test_the_boot_files_hold_after_a_reboot_with_the_legacy_backend(legacy_lab: Lab) -> None:
    check_a_reboot(legacy_lab)
