"""The bound sets beside a real engine: they follow containers, and packets meet what they hold."""

from __future__ import annotations

import pytest

from tests.rig.bound_sets import BRIDGES, PROXY, PROXY_6, any_address, members_in
from tests.rig.connections import fetch, listening, try_port
from tests.rig.lab import HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.lab


def test_a_container_that_starts_and_stops(lab: Lab) -> None:
    lab.load(document(allow("container", 8090), containers_reach_host="allow"))
    assert any_address(8080)[0] in members_in(lab.host, PROXY)
    assert "172.17.0.0/16,docker0" in members_in(lab.host, BRIDGES)
    lab.docker.run_web("later", "--publish=8090:80")
    try:
        wait_until("the port", lambda: {*any_address(8090)} <= {*members_in(lab.host, PROXY)})
        # docker-proxy takes IPv6 for a container without an IPv6 address.
        wait_until("web over IPv6", lambda: fetch(lab.client, HOST_6, 8090) == "later")
        assert fetch(lab.client, HOST, 8090) == "later"
        assert {*any_address(8090, family=6)} <= {*members_in(lab.host, PROXY_6)}
    finally:
        lab.docker.remove(["later"])
    wait_until("no port", lambda: not {*any_address(8090)} & {*members_in(lab.host, PROXY)})
    # A program of the host on the port of a rule for containers stays refused.
    for address in (HOST, HOST_6):
        with listening(lab.host, address, 8090):
            assert try_port(lab.client, address, 8090) == "prohibited"


def test_a_network_that_comes_and_goes(lab: Lab) -> None:
    lab.load(document(allow("container", 8090), containers_reach_host="allow"))
    lab.docker.docker("network", "create", "--subnet=172.30.0.0/24", "apart")
    try:
        wait_until("the network", lambda: "172.30.0.0/24,br-" in str(members_in(lab.host, BRIDGES)))
    finally:
        lab.docker.docker("network", "rm", "apart")
    wait_until("no network", lambda: "172.30.0.0/24" not in str(members_in(lab.host, BRIDGES)))


def test_an_engine_that_restarts(lab: Lab) -> None:
    lab.load(document(allow("container", 8080)))
    lab.docker.stop_daemon()
    wait_until("no port", lambda: members_in(lab.host, PROXY) == ())
    lab.docker.start_daemon()
    wait_until("the ports", lambda: {*any_address(8080, 8081)} <= {*members_in(lab.host, PROXY)})
    lab.assert_in_force()
