"""Containers with IPv6 addresses of their own, published over IPv6 by DNAT as over IPv4.

Docker 20.10 filters IPv6 only as an experiment, and forgets to call DOCKER-USER there; later engines do not.
dockerfw's own jump in FORWARD leads there then.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockerfw.chains.drift import find_drift
from dockerfw.chains.forwarding import docker_user_jumped
from tests.rig.connections import fetch, listening, try_port
from tests.rig.lab import CLIENT_6, HOST_6, NEIGHBOUR_6, Lab
from tests.rig.lab_documents import allow, document

pytestmark = pytest.mark.lab

JUMP = ("FORWARD", "-j", "DOCKER-USER")


@pytest.fixture
def lab(ipv6_lab: Lab) -> Iterator[Lab]:
    """The lab with the jump to DOCKER-USER that later engines create."""
    ipv6_lab.load_unseen(document())
    ipv6_lab.host.iptables("-I", *JUMP, family=6)
    yield ipv6_lab
    ipv6_lab.host.iptables("-D", *JUMP, family=6)


def test_an_engine_that_does_not_call_docker_user_is_filtered(ipv6_lab: Lab) -> None:
    lab = ipv6_lab
    lab.load_unseen(document(allow("container", 8080)))
    if docker_user_jumped(lab.live()[6]):
        # Seen with Docker 26.1: there is nothing to name, and the rules hold.
        assert try_port(lab.client, HOST_6, 8081) == "prohibited"
        assert not find_drift(lab.document, lab.revision, lab.live()).findings
        return
    assert ("own-forward-jump", 6) in [(each.code, each.family) for each in lab.plan().warnings]
    assert try_port(lab.client, HOST_6, 8081) == "prohibited"
    assert fetch(lab.client, HOST_6, 8080) == "web"
    assert not find_drift(lab.document, lab.revision, lab.live()).findings
    # The engine writes its rules for a new network before all others.
    lab.docker.docker("network", "create", "--ipv6", "--subnet=2001:db8:d0d::/64", "later")
    try:
        drift = find_drift(lab.document, lab.revision, lab.live())
        assert [(each.code, each.family) for each in drift.findings] == [("anchor-not-first", 6)]
    finally:
        lab.docker.docker("network", "rm", "later")


def test_a_published_port_answers_the_allowed_source_only(lab: Lab) -> None:
    lab.load(document(allow("container", 8080, source=f"{CLIENT_6}/128")))
    assert fetch(lab.client, HOST_6, 8080, source=CLIENT_6) == "web"
    assert try_port(lab.client, HOST_6, 8080, source=NEIGHBOUR_6) == "prohibited"
    assert try_port(lab.client, HOST_6, 8081) == "prohibited"


def test_the_direct_route_is_closed(lab: Lab) -> None:
    address = lab.docker.docker(
        "inspect", "--format", "{{.NetworkSettings.Networks.bridge.GlobalIPv6Address}}", "web"
    )
    lab.client.run("ip", "-6", "route", "replace", "2001:db8:d0c::/64", "via", HOST_6)
    lab.load(document(allow("container", 80, port_kind="container")))
    assert fetch(lab.client, address, 80) == ("web" if lab.direct_refusal(address) == "prohibited" else "")
    lab.load(document(allow("container", 8080)))
    assert try_port(lab.client, address, 80) == lab.direct_refusal(address)


def test_containers_reach_out(lab: Lab) -> None:
    lab.load(document())
    with listening(lab.client, CLIENT_6, 9000, "outside"):
        assert lab.reach_out("web", CLIENT_6) == f"outside {HOST_6}"
