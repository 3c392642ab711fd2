"""An engine with iptables-legacy: rules must be in the backend of Docker's chains, or they do nothing."""

from __future__ import annotations

import pytest

from tests.rig.connections import fetch, listening, try_port
from tests.rig.lab import CLIENT, HOST, HOST_6, NEIGHBOUR, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.lab


def test_ports_open_and_close(legacy_lab: Lab) -> None:
    lab = legacy_lab
    assert fetch(lab.client, HOST, 8081) == "other"
    lab.load(document(allow("container", 8080, source=f"{CLIENT}/32"), allow("host", 22)))
    assert fetch(lab.client, HOST, 8080, source=CLIENT) == "web"
    assert try_port(lab.client, HOST, 8080, source=NEIGHBOUR) == "prohibited"
    assert try_port(lab.client, HOST, 8081) == "prohibited"
    assert try_port(lab.client, HOST_6, 8081) == "prohibited"
    with listening(lab.host, HOST, 22), listening(lab.host, HOST, 23):
        assert try_port(lab.client, HOST, 22) == "connected"
        assert try_port(lab.client, HOST, 23) == "prohibited"


def test_no_dockerfw_rule_is_in_the_other_backend(legacy_lab: Lab) -> None:
    lab = legacy_lab
    lab.load(document(allow("container", 8080)))
    assert b":FILTERS " in lab.host.save("legacy")
    assert b"FILTERS" not in lab.host.save("nft")
    assert b"FILTERS" not in lab.host.save("nft", 6)


def test_the_rules_are_active_after_a_restart_of_the_engine(legacy_lab: Lab) -> None:
    lab = legacy_lab
    lab.load(document(allow("container", 8080)))
    lab.docker.restart_daemon()
    lab.assert_in_force()
    wait_until("web answers", lambda: fetch(lab.client, HOST, 8080) == "web")
    assert try_port(lab.client, HOST, 8081) == "prohibited"
    with listening(lab.client, CLIENT, 9000, "outside"):
        assert lab.reach_out("web") == f"outside {HOST}"
