"""IPv6 beside IPv4: neighbour discovery works when all else is refused, and docker-proxy opens no bypass."""

from __future__ import annotations

import pytest

from tests.rig.connections import fetch, listening, ping, try_port
from tests.rig.lab import CLIENT_6, HOST_6, NEIGHBOUR_6, Lab
from tests.rig.lab_documents import allow, document

pytestmark = pytest.mark.lab


def _forget_neighbours(lab: Lab) -> None:
    lab.client.run("ip", "-6", "neighbour", "flush", "dev", "eth0")
    lab.host.run("ip", "-6", "neighbour", "flush", "dev", "ens33")


@pytest.mark.parametrize("icmp", ["accept", "refuse"])
def test_neighbour_discovery_works_when_all_else_is_refused(lab: Lab, icmp: str) -> None:
    lab.load(document(allow("host", 22), icmp=icmp))
    _forget_neighbours(lab)
    with listening(lab.host, HOST_6, 22):
        assert try_port(lab.client, HOST_6, 22) == "connected"
    _forget_neighbours(lab)
    assert try_port(lab.client, HOST_6, 23) == "prohibited"


def test_icmp_follows_the_setting(lab: Lab) -> None:
    lab.load(document(icmp="refuse"))
    assert not ping(lab.client, HOST_6)
    lab.load(document(icmp="accept"))
    assert ping(lab.client, HOST_6)


def test_the_proxy_of_a_published_port_is_refused_unless_allowed(lab: Lab) -> None:
    lab.load(document(allow("container", 8080)))
    assert fetch(lab.client, HOST_6, 8080) == "web"
    assert try_port(lab.client, HOST_6, 8081) == "prohibited"
    lab.load(document(allow("container", 8081)))
    assert try_port(lab.client, HOST_6, 8080) == "prohibited"
    assert fetch(lab.client, HOST_6, 8081) == "other"


def test_the_proxy_answers_the_allowed_source_only(lab: Lab) -> None:
    lab.load(document(allow("container", 8080, source=f"{CLIENT_6}/128")))
    assert fetch(lab.client, HOST_6, 8080, source=CLIENT_6) == "web"
    assert try_port(lab.client, HOST_6, 8080, source=NEIGHBOUR_6) == "prohibited"


def test_a_source_of_one_family_opens_nothing_in_the_other(lab: Lab) -> None:
    lab.load(document(allow("container", 8080, source="192.0.2.0/24")))
    assert try_port(lab.client, HOST_6, 8080) == "prohibited"


def test_a_host_port_is_reached_only_when_allowed(lab: Lab) -> None:
    with listening(lab.host, HOST_6, 22):
        lab.load(document(allow("host", 22, source="2001:db8::2/128")))
        assert try_port(lab.client, HOST_6, 22, source=CLIENT_6) == "connected"
        assert try_port(lab.client, HOST_6, 22, source=NEIGHBOUR_6) == "prohibited"
