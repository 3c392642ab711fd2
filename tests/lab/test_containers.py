"""Connections of containers: to the internet, to each other, and to the host if their bridge is trusted."""

from __future__ import annotations

import pytest

from tests.rig.connections import listening
from tests.rig.lab import CLIENT, HOST, Lab
from tests.rig.lab_documents import document

pytestmark = pytest.mark.lab


def test_containers_reach_out(lab: Lab) -> None:
    lab.load(document())
    with listening(lab.client, CLIENT, 9000, "outside"):
        for container in ("web", "plain"):
            assert lab.reach_out(container) == f"outside {HOST}"


def test_containers_reach_each_other(lab: Lab) -> None:
    lab.load(document())
    assert lab.docker.fetch_from("web", lab.docker.container_address("other"), 80) == "other"
    assert lab.docker.fetch_from("web", lab.docker.container_address("plain"), 81) == "plain"


def test_containers_reach_the_host_when_their_bridge_is_trusted(lab: Lab) -> None:
    with listening(lab.host, "0.0.0.0", 9200, "host"):
        lab.load(document())
        assert lab.reach_out("plain", "172.17.0.1", 9200) == ""
        lab.load(document(trusted_interfaces=["lo", "docker0"]))
        assert lab.reach_out("plain", "172.17.0.1", 9200).startswith("host 172.17.0.")


def test_a_container_reaches_another_by_its_published_port(lab: Lab) -> None:
    lab.load(document(trusted_interfaces=["lo", "docker0"]))
    assert lab.docker.fetch_from("plain", HOST, 8080) == "web"
