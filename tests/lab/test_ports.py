"""Which clients reach which ports with real packets, for each kind of rule."""

from __future__ import annotations

import pytest

from tests.rig.connections import fetch, listening, ping, try_port
from tests.rig.lab import CLIENT, HOST, NEIGHBOUR, STRANGER, Lab
from tests.rig.lab_documents import allow, document

pytestmark = pytest.mark.lab


def test_a_published_port_answers_the_allowed_source_only(lab: Lab) -> None:
    lab.load(document(allow("container", 8080, source=f"{CLIENT}/32")))
    assert fetch(lab.client, HOST, 8080, source=CLIENT) == "web"
    assert try_port(lab.client, HOST, 8080, source=NEIGHBOUR) == "prohibited"
    assert try_port(lab.client, HOST, 8080, source=STRANGER) == "prohibited"


def test_a_network_may_be_the_source(lab: Lab) -> None:
    lab.load(document(allow("container", 8080, source="192.0.2.0/24")))
    assert fetch(lab.client, HOST, 8080, source=CLIENT) == "web"
    assert fetch(lab.client, HOST, 8080, source=NEIGHBOUR) == "web"
    assert try_port(lab.client, HOST, 8080, source=STRANGER) == "prohibited"


def test_another_container_with_the_same_inner_port_stays_closed(lab: Lab) -> None:
    lab.load(document(allow("container", 8080)))
    assert fetch(lab.client, HOST, 8080) == "web"
    assert try_port(lab.client, HOST, 8081) == "prohibited"


def test_a_range_opens_each_of_its_ports(lab: Lab) -> None:
    lab.load(document(allow("container", "8079-8081")))
    assert fetch(lab.client, HOST, 8080) == "web"
    assert fetch(lab.client, HOST, 8081) == "other"


def test_the_inner_port_is_not_the_published_one(lab: Lab) -> None:
    lab.load(document(allow("container", 80)))
    assert try_port(lab.client, HOST, 8080) == "prohibited"
    assert try_port(lab.client, HOST, 8081) == "prohibited"


def test_port_kind_container_opens_every_container_with_that_inner_port(lab: Lab) -> None:
    lab.load(document(allow("container", 80, port_kind="container")))
    assert fetch(lab.client, HOST, 8080) == "web"
    assert fetch(lab.client, HOST, 8081) == "other"
    address = lab.docker.container_address("web")
    # dockerfw allows it; Docker may still refuse it.
    assert fetch(lab.client, address, 80) == ("web" if lab.direct_refusal(address) == "prohibited" else "")


def test_a_published_port_does_not_open_the_direct_route(lab: Lab) -> None:
    lab.load(document(allow("container", 8080)))
    address = lab.docker.container_address("web")
    assert try_port(lab.client, address, 80) == lab.direct_refusal(address)


def test_a_port_that_is_not_published_is_refused(lab: Lab) -> None:
    address = lab.docker.container_address("plain")
    assert lab.docker.fetch_from("web", address, 81) == "plain"
    lab.load(document(allow("container", 8080)))
    assert try_port(lab.client, address, 81) == lab.direct_refusal(address)


def test_an_allowed_port_still_needs_dockers_permission(lab: Lab) -> None:
    lab.load(document(allow("container", 81, port_kind="container")))
    # Docker's FORWARD policy drops it silently; our rejection would have been an answer.
    assert try_port(lab.client, lab.docker.container_address("plain"), 81) == "silent"


def test_a_host_port_is_reached_only_when_allowed(lab: Lab) -> None:
    with listening(lab.host, HOST, 22), listening(lab.host, HOST, 23):
        lab.load(document(allow("host", 22)))
        assert try_port(lab.client, HOST, 22) == "connected"
        assert try_port(lab.client, HOST, 23) == "prohibited"
        lab.load(document(allow("host", 23, source=f"{NEIGHBOUR}/32")))
        assert try_port(lab.client, HOST, 22) == "prohibited"
        assert try_port(lab.client, HOST, 23, source=CLIENT) == "prohibited"
        assert try_port(lab.client, HOST, 23, source=NEIGHBOUR) == "connected"


def test_a_rule_of_one_scope_does_not_apply_to_the_other(lab: Lab) -> None:
    with listening(lab.host, HOST, 9100):
        lab.load(document(allow("host", 8080), allow("container", 9100)))
        assert try_port(lab.client, HOST, 8080) == "prohibited"
        assert try_port(lab.client, HOST, 9100) == "prohibited"


def test_scope_both_opens_host_and_container(lab: Lab) -> None:
    with listening(lab.host, HOST, 9100):
        lab.load(document(allow("both", 8080, 9100, source=f"{CLIENT}/32")))
        assert fetch(lab.client, HOST, 8080, source=CLIENT) == "web"
        assert try_port(lab.client, HOST, 9100, source=CLIENT) == "connected"
        assert try_port(lab.client, HOST, 8080, source=NEIGHBOUR) == "prohibited"
        assert try_port(lab.client, HOST, 9100, source=NEIGHBOUR) == "prohibited"


def test_a_source_alone_opens_everything_to_it(lab: Lab) -> None:
    with listening(lab.host, HOST, 9100):
        lab.load(document({"scope": "both", "source": NEIGHBOUR}))
        for port in (8080, 8081, 9100):
            assert try_port(lab.client, HOST, port, source=NEIGHBOUR) == "connected"
            assert try_port(lab.client, HOST, port, source=CLIENT) == "prohibited"


def test_many_ports_are_split_and_all_open(lab: Lab) -> None:
    ports = [*range(9001, 9040, 2), "9050-9060"]
    lab.load(document(allow("host", *ports)))
    for port, expected in (
        (9001, "connected"),
        (9039, "connected"),
        (9055, "connected"),
        (9002, "prohibited"),
    ):
        with listening(lab.host, HOST, port):
            assert try_port(lab.client, HOST, port) == expected


def test_a_disabled_rule_opens_nothing(lab: Lab) -> None:
    lab.load(document(allow("container", 8080, enabled=False)))
    assert try_port(lab.client, HOST, 8080) == "prohibited"


def test_an_empty_document_refuses_all_that_is_not_basic(lab: Lab) -> None:
    lab.load(document())
    assert try_port(lab.client, HOST, 8080) == "prohibited"
    assert try_port(lab.client, HOST, 22) == "prohibited"
    assert ping(lab.client, HOST)


def test_refusing_by_drop_is_silent(lab: Lab) -> None:
    with listening(lab.host, HOST, 22):
        lab.load(document(allow("container", 8080), refuse="drop"))
        assert fetch(lab.client, HOST, 8080) == "web"
        assert try_port(lab.client, HOST, 8081) == "silent"
        assert try_port(lab.client, HOST, 22) == "silent"


def test_icmp_follows_the_setting(lab: Lab) -> None:
    lab.load(document(icmp="refuse"))
    assert not ping(lab.client, HOST)
    lab.load(document({"scope": "host", "protocol": "icmp", "source": NEIGHBOUR}, icmp="refuse"))
    assert ping(lab.client, HOST, source=NEIGHBOUR)
    assert not ping(lab.client, HOST, source=CLIENT)
    lab.load(document(icmp="accept"))
    assert ping(lab.client, HOST)


def test_the_host_reaches_itself_and_its_containers(lab: Lab) -> None:
    lab.load(document())
    with listening(lab.host, HOST, 22):
        assert try_port(lab.host, HOST, 22) == "connected"
    assert fetch(lab.host, "127.0.0.1", 8080) == "web"
    assert fetch(lab.host, lab.docker.container_address("plain"), 81) == "plain"
