"""Containers with IPv6 addresses of their own, published over IPv6 by DNAT as over IPv4."""

from __future__ import annotations

import pytest

from tests.lab.documents import allow, document
from tests.lab.lab import CLIENT_6, HOST_6, NEIGHBOUR_6, Lab
from tests.lab.network import fetch, listening, try_port

pytestmark = pytest.mark.lab


def test_a_published_port_answers_the_allowed_source_only(ipv6_lab: Lab) -> None:
    lab = ipv6_lab
    assert fetch(lab.client, HOST_6, 8081) == "other"
    lab.load(document(allow("container", 8080, source=f"{CLIENT_6}/128")))
    assert fetch(lab.client, HOST_6, 8080, source=CLIENT_6) == "web"
    assert try_port(lab.client, HOST_6, 8080, source=NEIGHBOUR_6) == "prohibited"
    assert try_port(lab.client, HOST_6, 8081) == "prohibited"


def test_the_direct_route_is_closed(ipv6_lab: Lab) -> None:
    lab = ipv6_lab
    address = lab.docker.docker(
        "inspect", "--format", "{{.NetworkSettings.Networks.bridge.GlobalIPv6Address}}", "web"
    )
    lab.client.run("ip", "-6", "route", "replace", "2001:db8:d0c::/64", "via", HOST_6)
    lab.load(document(allow("container", 80, port_kind="container")))
    assert fetch(lab.client, address, 80) == "web"
    lab.load(document(allow("container", 8080)))
    assert try_port(lab.client, address, 80) == "prohibited"


def test_containers_reach_out(ipv6_lab: Lab) -> None:
    lab = ipv6_lab
    lab.load(document())
    with listening(lab.client, CLIENT_6, 9000, "outside"):
        assert lab.reach_out("web", CLIENT_6) == f"outside {HOST_6}"
