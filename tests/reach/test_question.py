"""From the words of people to one packet: what is guessed is said, what is wrong is told at its field."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from dockerfw.reach import question_sentences
from dockerfw.reach.listening import Publication, RunningContainer, find_containers
from dockerfw.reach.question import Question, QuestionError, ResolvedQuestion, read_question
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.surroundings import HostInterface, StaticRoute, Surroundings

HOST = Surroundings(
    interfaces=(
        HostInterface("docker0", (ip_interface("172.17.0.1/16"), ip_interface("fe80::1/64")), True),
        HostInterface("ens33", (ip_interface("192.0.2.10/24"), ip_interface("2001:db8::10/64")), True),
        HostInterface("lo", (ip_interface("127.0.0.1/8"), ip_interface("::1/128")), True),
        HostInterface("wg0", (ip_interface("10.8.0.1/24"),), True),
    ),
    default_routes={4: ("ens33",), 6: ("ens33",)},
)
WEB = RunningContainer(
    id="0123456789ab",
    name="shop-web-1",
    project="shop",
    service="web",
    network_mode="bridge",
    addresses=(ip_address("172.17.0.2"),),
    publications=(
        Publication("tcp", None, 8080, 80),
        Publication("tcp", ip_address("10.8.0.1"), 9090, 90),
    ),
)
PROBE = RunningContainer(id="ba9876543210", name="probe", network_mode="host")
CONTAINERS = (WEB, PROBE)
HOST_ADDRESS = ip_address("192.0.2.10")


def asked(source: str, destination: str = "", port: str = "", **more: str) -> ResolvedQuestion:
    question = Question(source=source, destination=destination, port=port, **more)  # type: ignore[arg-type]
    return read_question(question, HOST, CONTAINERS)


def packet(source: str, destination: str = "", port: str = "", **more: str) -> Packet:
    return asked(source, destination, port, **more).packet


def errors(source: str, destination: str = "", port: str = "", **more: str) -> dict[str, str]:
    with pytest.raises(QuestionError) as caught:
        asked(source, destination, port, **more)
    return {error.path: error.message for error in caught.value.errors}


def test_a_source_behind_a_router_arrives_where_its_route_leads() -> None:
    route = StaticRoute(ip_network("10.9.0.0/16"), gateway=True)
    wg0 = replace(HOST.interfaces[-1], routes=(route,))
    around = replace(HOST, interfaces=(*HOST.interfaces[:-1], wg0))
    found = read_question(Question(source="10.9.0.5", destination="", port="22"), around, CONTAINERS)
    assert found.packet.in_interface == "wg0"
    assert found.guesses[0] == "Incoming interface: wg0, because the route to 10.9.0.0/16 leads there."


def test_an_outside_address_arrives_from_the_default_route() -> None:
    found = asked("203.0.113.5", port="22")
    assert found.packet == Packet(
        family=4,
        source=ip_address("203.0.113.5"),
        destination=ip_address("192.0.2.10"),
        protocol=6,
        in_interface="ens33",
        destination_port=22,
    )
    assert found.guesses == (
        question_sentences.arrives_from_default_route("ens33", 4, ()),
        question_sentences.destination_is_host(HOST_ADDRESS),
    )


@pytest.mark.parametrize(
    ("source", "interface", "destination"),
    [
        ("192.0.2.99", "ens33", "192.0.2.10"),
        ("10.8.0.7", "wg0", "10.8.0.1"),
        ("172.17.0.9", "docker0", "172.17.0.1"),
        ("2001:db8::99", "ens33", "2001:db8::10"),
        ("2001:db8:ffff::1", "ens33", "2001:db8::10"),
        ("10.8.0.1", None, "192.0.2.10"),
        ("127.0.0.1", None, "192.0.2.10"),
        ("host", None, "192.0.2.10"),
        ("shop-web-1", "docker0", "172.17.0.1"),
    ],
)
def test_the_interface_is_guessed_from_the_source(
    source: str, interface: str | None, destination: str
) -> None:
    found = packet(source, port="22")
    assert (found.in_interface, str(found.destination)) == (interface, destination)


def test_a_named_interface_is_used() -> None:
    found = asked("203.0.113.5", "192.0.2.10", "22", interface="wg0")
    assert (found.packet.in_interface, found.guesses) == ("wg0", ())


@pytest.mark.parametrize("name", ["shop-web-1", "shop/web", "web", "0123456"])
def test_the_destination_is_where_a_container_publishes_the_port(name: str) -> None:
    found = asked("203.0.113.5", name, "8080")
    assert (str(found.packet.destination), found.packet.destination_port) == ("192.0.2.10", 8080)
    reason = question_sentences.publishes("shop-web-1", 8080)
    assert question_sentences.destination_is_host(HOST_ADDRESS, reason) in found.guesses


def test_a_port_published_on_one_address_is_reached_there() -> None:
    assert str(packet("203.0.113.5", "web", "9090").destination) == "10.8.0.1"


def test_a_port_that_is_not_published_is_at_the_containers_own_address() -> None:
    found = asked("203.0.113.5", "web", "80")
    assert str(found.packet.destination) == "172.17.0.2"
    address = ip_address("172.17.0.2")
    assert question_sentences.destination_is_container(address, "shop-web-1", 80) in found.guesses


def test_docker_proxy_takes_ipv6_for_a_container_that_has_none() -> None:
    found = packet("2001:db8:ffff::1", "web", "8080")
    assert (found.family, str(found.destination)) == (6, "2001:db8::10")


def test_neighbours_of_a_container_dial_it_directly() -> None:
    assert str(packet("172.17.0.9", "web", "8080").destination) == "172.17.0.2"


def test_a_container_on_the_hosts_network_is_the_host() -> None:
    assert str(packet("203.0.113.5", "probe", "80").destination) == "192.0.2.10"


@pytest.mark.parametrize(
    ("source", "typed", "icmp"),
    [
        ("203.0.113.5", "", (1, 8, 0)),
        ("203.0.113.5", "timestamp-request", (1, 13, 0)),
        ("203.0.113.5", "3/4", (1, 3, 4)),
        ("2001:db8::99", "", (58, 128, 0)),
        ("2001:db8::99", "135", (58, 135, 0)),
    ],
)
def test_icmp_has_a_type_and_no_port(source: str, typed: str, icmp: tuple[int, int, int]) -> None:
    found = packet(source, port="22", protocol="icmp", icmp_type=typed)
    assert (found.protocol, found.icmp_type, found.icmp_code) == icmp
    assert found.destination_port is None


def test_protocols_without_ports_need_none() -> None:
    assert (
        packet("203.0.113.5", protocol="gre").protocol,
        packet("203.0.113.5", protocol="50").protocol,
    ) == (
        47,
        50,
    )


def test_all_errors_are_reported_at_once() -> None:
    found = errors("203.0.113.500", "nowhere", "70000", protocol="tpc", source_port="x")
    assert set(found) == {"source", "destination", "port", "protocol", "source_port"}
    assert "neither an address nor a running container" in found["source"]
    assert "did you mean tcp?" in found["protocol"]
    assert found["port"] == "70000 is not a port (1 to 65535)"


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"source": "", "port": "1"}, "source", question_sentences.ENTER_END),
        ({"source": "203.0.113.0/24", "port": "1"}, "source", "a packet has one address, not a network"),
        ({"source": "203.0.113.5"}, "port", question_sentences.ENTER_PORT),
        ({"source": "203.0.113.5", "port": "80-90"}, "port", "is a range"),
        ({"source": "203.0.113.5", "port": "1", "protocol": "any"}, "protocol", "one protocol"),
        (
            {"source": "203.0.113.5", "port": "1", "destination": "2001:db8::1"},
            "destination",
            question_sentences.other_family(6, 4),
        ),
        ({"source": "203.0.113.5", "port": "1", "interface": "ens34"}, "interface", "did you mean ens33?"),
        (
            {"source": "203.0.113.5", "protocol": "icmp", "icmp_type": "pong!"},
            "icmp_type",
            "did you mean pong?",
        ),
        ({"source": "fe80::1%ens33", "port": "1"}, "source", "leave out %ens33"),
        ({"source": "2001:db8::9", "destination": "web", "port": "1"}, "destination", "has no IPv6 address"),
        ({"source": "shop-web-2", "port": "1"}, "source", "did you mean shop-web-1?"),
    ],
    ids=str,
)
def test_errors_are_at_their_field(fields: dict[str, str], field: str, message: str) -> None:
    found = errors(**fields)
    assert set(found) == {field}
    assert message in found[field]


def test_errors_without_docker_and_without_routes() -> None:
    nothing = Surroundings()
    with pytest.raises(QuestionError) as caught:
        read_question(Question(source="web", port="1"), nothing, None)
    assert question_sentences.names_unknown("web") in str(caught.value)
    with pytest.raises(QuestionError) as caught:
        read_question(Question(source="203.0.113.5", destination="192.0.2.1", port="1"), nothing, None)
    assert caught.value.errors[0].path == "interface"
    question = Question(source="203.0.113.5", destination="192.0.2.1", port="1", interface="eth0")
    assert read_question(question, nothing, None).packet.in_interface == "eth0"


def test_a_name_means_the_container_before_the_service() -> None:
    other = RunningContainer(id="ffffffffffff", name="web", project="blog", service="shop-web-1")
    assert find_containers((WEB, other), "web") == (other,)
    assert find_containers((WEB, other), "shop-web-1") == (WEB,)
    assert find_containers((WEB, other), "ffff") == (other,)
    assert find_containers((WEB, other), "fff") == ()
