"""What containers reach on their own host: its services by the setting, its published ports by rules.

The engine's docker-proxy takes a container's packets to the host's own published port, and with `iptables`
off everybody's. Real packets, and the root worker's own apply.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.reach.bound_sets import with_bound_sets
from dockerfw.reach.container_access import ContainerEffect, find_container_effect
from dockerfw.simulation.simulate import prepare
from tests.differential.frames import TCP, Wire, ethernet_bytes
from tests.lab.test_loopback import mac
from tests.rig.connections import fetch, listening, try_port
from tests.rig.engines import ENGINES
from tests.rig.lab import HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.lab

GATEWAY = "172.17.0.1"
REFUSED = ""


@pytest.fixture(autouse=True)
def _unloaded(request: pytest.FixtureRequest) -> None:
    for name in ("lab", "ipv6_lab"):
        if name in request.fixturenames:
            request.getfixturevalue(name).unload()


def test_a_rule_opens_the_hairpin_to_its_port_and_no_other(lab: Lab) -> None:
    assert lab.docker.fetch_from("plain", HOST, 8080) == "web"
    assert lab.docker.fetch_from("plain", HOST, 8081) == "other"
    lab.load(document(allow("container", 8080)))
    for address in (HOST, GATEWAY):
        assert lab.docker.fetch_from("plain", address, 8080) == "web"
        assert lab.docker.fetch_from("plain", address, 8081) == REFUSED
    # The way from outside is Docker's own, as before.
    assert fetch(lab.client, HOST, 8080) == "web"
    assert try_port(lab.client, HOST, 8081) == "prohibited"


def test_the_source_of_a_rule_counts_for_containers_too(lab: Lab) -> None:
    lab.load(
        document(
            allow("container", 8080, source="192.0.2.0/24"), allow("container", 8081, source="172.17.0.0/16")
        )
    )
    assert lab.docker.fetch_from("plain", HOST, 8080) == REFUSED
    assert lab.docker.fetch_from("plain", HOST, 8081) == "other"
    assert try_port(lab.client, HOST, 8081) == "prohibited"


def test_the_hairpin_works_between_networks(lab: Lab) -> None:
    lab.docker.docker("network", "create", "shop")
    try:
        lab.docker.run_web("inshop", network="shop")
        lab.load(document(allow("container", 8080)))
        assert lab.docker.fetch_from("inshop", HOST, 8080) == "web"
        assert lab.docker.fetch_from("inshop", HOST, 8081) == REFUSED
    finally:
        lab.docker.remove(["inshop"])
        lab.docker.docker("network", "rm", "shop")


def test_the_hairpin_works_over_ipv6(ipv6_lab: Lab) -> None:
    ipv6_lab.load(document(allow("container", 8080)))
    assert ipv6_lab.docker.fetch_from("plain", HOST_6, 8080) == "web"
    assert ipv6_lab.docker.fetch_from("plain", HOST_6, 8081) == REFUSED
    assert ipv6_lab.docker.fetch_from("plain", HOST, 8080) == "web"


def test_a_program_of_the_host_on_the_port_of_a_container_rule_stays_refused(lab: Lab) -> None:
    lab.load(document(allow("container", 8082), allow("container", 8080)))
    with listening(lab.host, HOST, 8082, "program"), listening(lab.host, HOST_6, 8082, "program"):
        assert try_port(lab.client, HOST, 8082) == "prohibited"
        assert try_port(lab.client, HOST_6, 8082) == "prohibited"
        assert lab.reach_out("plain", HOST, 8082) == REFUSED
    # docker-proxy takes IPv6 for a container without it, as before.
    assert fetch(lab.client, HOST_6, 8080) == "web"
    assert try_port(lab.client, HOST_6, 8081) == "prohibited"


@pytest.fixture
def bare_lab(_engine_works: None) -> Iterator[Lab]:
    """A lab whose engine writes no rules: everything from outside goes through docker-proxy."""
    built = Lab(engine_options=("--iptables=false",))
    yield built
    built.delete()


def test_without_dockers_rules_a_rule_opens_docker_proxys_port_and_nothing_else(bare_lab: Lab) -> None:
    assert fetch(bare_lab.client, HOST, 8081) == "other"
    bare_lab.load(document(allow("container", 8080), allow("container", 8082)))
    assert fetch(bare_lab.client, HOST, 8080) == "web"
    assert fetch(bare_lab.client, HOST_6, 8080) == "web"
    assert try_port(bare_lab.client, HOST, 8081) == "prohibited"
    with listening(bare_lab.host, HOST, 8082, "program"):
        assert try_port(bare_lab.client, HOST, 8082) == "prohibited"
    assert bare_lab.docker.fetch_from("plain", HOST, 8080) == "web"


@pytest.fixture
def proxyless_lab(_engine_works: None) -> Iterator[Lab]:
    """A lab whose engine publishes ports without docker-proxy."""
    built = Lab(engine_options=("--userland-proxy=false",))
    yield built
    built.delete()


def test_without_docker_proxy_the_engines_own_rules_take_the_hairpin(proxyless_lab: Lab) -> None:
    assert proxyless_lab.docker.fetch_from("plain", HOST, 8080) == "web"
    proxyless_lab.load(document(allow("container", 8080)))
    # Docker sends it on to the container, without the host: no rule of dockerfw sees it.
    assert proxyless_lab.docker.fetch_from("plain", HOST, 8080) == "web"
    assert try_port(proxyless_lab.client, HOST, 8081) == "prohibited"
    with listening(proxyless_lab.host, HOST, 8082, "program"):
        assert proxyless_lab.reach_out("plain", HOST, 8082) == REFUSED


@pytest.fixture(scope="module", params=["29.1"])
def newer_lab(request: pytest.FixtureRequest, _engine_works: None) -> Iterator[Lab]:
    """A lab with a newer engine."""
    built = Lab(tree=ENGINES[request.param].tree())
    yield built
    built.delete()


def test_the_hairpin_works_on_a_newer_engine(newer_lab: Lab) -> None:
    newer_lab.docker.docker("network", "create", "shop")
    newer_lab.docker.run_web("inshop", network="shop")
    assert newer_lab.docker.fetch_from("plain", HOST, 8080) == "web"
    newer_lab.load(document(allow("container", 8080)))
    assert newer_lab.docker.fetch_from("plain", HOST, 8080) == "web"
    assert newer_lab.docker.fetch_from("plain", HOST, 8081) == REFUSED
    # From another network Docker 28 and later forward it themselves: it is traffic between containers.
    assert newer_lab.docker.fetch_from("inshop", HOST, 8080) == "web"
    assert newer_lab.docker.fetch_from("inshop", HOST, 8081) == "other"


def test_containers_reach_the_host_if_that_is_allowed_and_nobody_else_does(lab: Lab) -> None:
    with listening(lab.host, "0.0.0.0", 5432, "postgres"):
        assert lab.reach_out("plain", GATEWAY, 5432).startswith("postgres 172.17.")
        lab.load(document(allow("host", 22)))
        assert lab.reach_out("plain", GATEWAY, 5432) == REFUSED
        assert try_port(lab.client, HOST, 5432) == "prohibited"
        lab.load(document(allow("host", 22), containers_reach_host="allow"), revision=2)
        assert lab.reach_out("plain", GATEWAY, 5432).startswith("postgres 172.17.")
        assert lab.reach_out("plain", HOST, 5432).startswith("postgres 172.17.")
        assert lab.docker.fetch_from("plain", HOST, 8081) == "other"
        assert try_port(lab.client, HOST, 5432) == "prohibited"
        # A container's source does not help outside: it is not on its bridge there.
        refused = hits(lab, "REJECT")
        send_syn(lab, "172.17.0.77", 5432)
        wait_until("the refusal of a forged source", lambda: hits(lab, "REJECT") > refused)


def test_a_network_that_is_created_later_is_allowed_too(lab: Lab) -> None:
    lab.load(document(containers_reach_host="allow"))
    with listening(lab.host, "0.0.0.0", 5432, "postgres"):
        lab.docker.docker("network", "create", "later")
        try:
            lab.docker.run_web("inlater", network="later")
            wait_until("the new network in the set", lambda: lab.reach_out("inlater", HOST, 5432) != REFUSED)
        finally:
            lab.docker.remove(["inlater"])
            lab.docker.docker("network", "rm", "later")


def test_the_review_says_what_the_packets_do(lab: Lab) -> None:
    with listening(lab.host, "0.0.0.0", 5432, "postgres"):
        found = effect(lab, document(allow("container", 8080)))
        assert [(each.protocol, each.port, each.published) for each in found.lost] == [
            ("tcp", 5432, False),
            ("tcp", 8081, True),
        ]
        assert found.lost[0].sources == ("172.17.0.0/16",)
        assert effect(lab, document(containers_reach_host="allow")).lost == ()
        lab.load(document(allow("container", 8080)))
        assert lab.reach_out("plain", GATEWAY, 5432) == lab.docker.fetch_from("plain", HOST, 8081) == REFUSED
        assert lab.docker.fetch_from("plain", HOST, 8080) == "web"
        assert effect(lab, document(allow("container", 8080))) == ContainerEffect()


def effect(lab: Lab, value: dict[str, object]) -> ContainerEffect:
    """Return the effect of a load, as the review computes it from a snapshot."""
    with lab.host.entered():
        seen = observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))
    wanted = parse_document(value)
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    around, heard = surroundings_of(seen), listening_of(seen, rulesets)
    later = with_bound_sets(around, heard, wanted.settings.external_interfaces)
    after = {
        family: parse_restore(seen.saves[family] + render_restore(wanted, family, live=live), family=family)
        for family, live in rulesets.items()
    }
    return find_container_effect(
        heard,
        around,
        {family: prepare(live, around, family) for family, live in rulesets.items()},
        {family: prepare(live, later, family) for family, live in after.items()},
    )


def hits(lab: Lab, target: str) -> int:
    """Return how many packets dockerfw's refusal has refused over IPv4."""
    chain = lab.live()[4].chain("filter", "FILTERS")
    assert chain is not None
    last = chain.rules[-1]
    assert target in last.text
    assert last.counters is not None
    return last.counters.packets


def send_syn(lab: Lab, source: str, port: int) -> None:
    """Send the first packet of a connection from the client, with a source that is not its own."""
    with lab.client.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    with contextlib.closing(wire):
        wire.bind(("eth0", 0x0800))
        number = random.randint(20_000, 60_000)
        syn = Wire(ip_address(source), ip_address(HOST), TCP, source_port=number, destination_port=port)
        wire.send(ethernet_bytes(syn, source_mac=mac(lab, "client"), destination_mac=mac(lab, "host")))
