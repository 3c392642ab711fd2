"""Exposure: rows over both families and all external interfaces, and their sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from dockerfw.chains.redirects import find_redirects
from dockerfw.chains.render import render_restore
from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import make_document, validate_rule
from dockerfw.document.values import Document, Settings
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach import sentences
from dockerfw.reach.exposure import ExposureRow, expose, find_idle_rules
from dockerfw.reach.internet import covers_the_internet
from dockerfw.reach.listening import Listener, Listening, Published
from dockerfw.reach.offers import find_offers
from dockerfw.reach.sentences import describe_access, describe_exposure, describe_networks
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import HostInterface, Surroundings

ENS33 = HostInterface("ens33", (ip_interface("192.0.2.10/24"), ip_interface("2001:db8::10/64")), True)
ENS34 = HostInterface("ens34", (ip_interface("198.51.100.10/24"),), True)
DOCKER0 = HostInterface("docker0", (ip_interface("172.17.0.1/16"),), True)
LO = HostInterface("lo", (ip_interface("127.0.0.1/8"), ip_interface("::1/128")), True)
HOST = Surroundings((ENS33, ENS34, DOCKER0, LO), {4: ("ens33",), 6: ("ens33",)})

DOCKER = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.3:90
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 90 -j ACCEPT
COMMIT
"""
PLAIN6 = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n"
SHOP = Published(4, "tcp", None, 8080, ip_address("172.17.0.2"), 80)
SSHD = Listener(6, "tcp", None, 22, process="sshd")


def document(*rules: Mapping[str, object], external: tuple[str, ...] = ("ens33",)) -> Document:
    return make_document(Settings(external_interfaces=external), tuple(validate_rule(rule) for rule in rules))


SSH_FOR_SOME = {"id": "ssh1", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "192.0.2.0/24"}
SHOP_FOR_ALL = {"id": "shop", "scope": "container", "protocol": "tcp", "ports": ["8080"]}


def kernel(loaded: Document | None, *, v4: str = DOCKER, v6: str = PLAIN6) -> dict[Family, Prepared]:
    texts: dict[Family, str] = {4: v4, 6: v6}
    found: dict[Family, Prepared] = {}
    for family, text in texts.items():
        load = render_restore(loaded, family, live=parse_save(text)) if loaded else ""
        found[family] = prepare(parse_restore(text + load, family=family), HOST, family)
    return found


def rows(
    listening: Listening, prepared: dict[Family, Prepared], *outside: HostInterface
) -> tuple[ExposureRow, ...]:
    return expose(find_offers(listening), prepared, outside or (ENS33,))


def only(listening: Listening, prepared: dict[Family, Prepared], *outside: HostInterface) -> ExposureRow:
    (row,) = rows(listening, prepared, *outside)
    return row


def in_words(row: ExposureRow) -> list[tuple[int, tuple[str, ...], str]]:
    return [(each.family, each.interfaces, describe_access(each)) for each in row.access]


def test_without_dockerfw_rules_the_policy_decides_and_all_is_open() -> None:
    row = only(Listening((SSHD,)), kernel(None))
    assert in_words(row) == [(4, ("ens33",), "anywhere"), (6, ("ens33",), "anywhere")]
    assert (row.level, row.access[0].rules) == ("anywhere", ())
    ((sources, verdict),) = row.access[0].parts
    assert sources.is_everything
    assert verdict.step is not None
    assert (verdict.step.chain, verdict.step.outcome) == ("INPUT", "policy")


def test_a_rule_with_a_source_is_exactly_that_network() -> None:
    row = only(Listening((SSHD,)), kernel(document(SSH_FOR_SOME)))
    assert in_words(row) == [(4, ("ens33",), "192.0.2.0/24"), (6, ("ens33",), "nowhere")]
    assert (row.level, row.access[0].rules) == ("networks", ("ssh1",))


REDIRECTING = DOCKER.replace(
    ":DOCKER - [0:0]\n-A PREROUTING",
    ":DOCKER - [0:0]\n"
    "-A PREROUTING -i ens33 -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 5000\n"
    "-A PREROUTING -d 203.0.113.9/32 -p tcp -m tcp --dport 25 -j DNAT --to-destination 198.51.100.7:2525\n"
    "-A PREROUTING",
    1,
).replace(":FORWARD DROP", ":FORWARD ACCEPT")
APP = Listener(4, "tcp", None, 5000, process="app")


@pytest.mark.parametrize(
    ("rule", "reached"),
    [
        ({"scope": "host", "ports": ["443"]}, []),
        ({"scope": "host", "ports": ["5000"]}, [443, 5000]),
        ({"scope": "both", "ports": ["443"]}, [443]),
        ({"scope": "both", "ports": ["5000"]}, [5000]),
        ({"scope": "host", "ports": ["25", "2525"]}, []),
        ({"scope": "container", "ports": ["25"]}, [25]),
    ],
)
def test_ports_that_other_rules_send_elsewhere(rule: dict[str, object], reached: list[int]) -> None:
    """The port that the client dials is the row, and what the kernel lets through decides."""
    loaded = document({"id": "some", "protocol": "tcp", **rule})
    prepared = kernel(loaded, v4=REDIRECTING)
    listening = Listening((APP,), redirects=find_redirects(prepared[4].ruleset, 4))
    found = rows(listening, prepared)
    assert sorted(row.offer.port for row in found) == [25, 443, 5000]
    assert sorted(row.offer.port for row in found if row.level == "anywhere") == reached
    assert all(row.access[0].rules == ("some",) for row in found if row.level == "anywhere")


def test_a_published_port_goes_through_docker_to_its_container() -> None:
    listening = Listening((), (SHOP,))
    assert only(listening, kernel(document(SSH_FOR_SOME))).level == "nobody"
    row = only(listening, kernel(document(SHOP_FOR_ALL)))
    assert (row.level, row.access[0].rules) == ("anywhere", ("shop",))


@pytest.mark.parametrize(
    ("scope", "words"), [("host", ["192.0.2.0/24", "nowhere"]), ("container", ["anywhere"])]
)
def test_broadcast_packets_reach_a_container_by_docker_proxy(scope: str, words: list[str]) -> None:
    text = DOCKER.replace("-p tcp -m tcp --dport 8080", "-p udp -m udp --dport 67")
    text = text.replace("-p tcp -m tcp --dport 80 -j", "-p udp -m udp --dport 80 -j")
    published = Published(4, "udp", None, 67, ip_address("172.17.0.2"), 80)
    proxy = Listener(4, "udp", None, 67, process="docker-proxy")
    loaded = document({"id": "dhcp", "scope": scope, "protocol": "udp", "ports": ["67"]})
    row = only(Listening((proxy,), (published,)), kernel(loaded, v4=text))
    found = {describe_access(each): each for each in row.access}
    assert sorted(found) == words
    assert {each.rules for each in found.values() if each.passes} == {("dhcp",)}
    if scope == "host":
        assert found["192.0.2.0/24"].reason == sentences.BY_GROUP_PACKETS


def test_multicast_packets_reach_a_group_of_the_interface() -> None:
    mdns = Listener(4, "udp", None, 5353, process="avahi-daemon")
    accepted = PLAIN6.replace("COMMIT", "-A INPUT -d 224.0.0.251/32 -j ACCEPT\n-A INPUT -j DROP\nCOMMIT")
    joined = replace(ENS33, groups=(ip_address("224.0.0.251"),))
    around = replace(HOST, interfaces=(joined, LO))
    prepared: dict[Family, Prepared] = {4: prepare(parse_restore(accepted), around, 4)}
    (row,) = expose(find_offers(Listening((mdns,))), prepared, (joined,))
    assert in_words(row) == [(4, ("ens33",), "nowhere"), (4, ("ens33",), "anywhere")]
    assert row.access[1].reason == sentences.BY_GROUP_PACKETS


def test_swarms_ingress_is_forwarded_and_so_needs_a_rule_for_containers() -> None:
    # What libnetwork of Docker 20.10 writes for `docker service create --publish 8000:80`.
    nat = "-A DOCKER-INGRESS -p tcp -m tcp --dport 8000 -j DNAT --to-destination 172.18.0.2:8000\n"
    swarm = (
        DOCKER.replace(":DOCKER - [0:0]\n", ":DOCKER - [0:0]\n:DOCKER-INGRESS - [0:0]\n")
        .replace(
            "-A DOCKER ! -i",
            f"-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS\n{nat}-A DOCKER ! -i",
            1,
        )
        .replace(
            "-A FORWARD -j DOCKER-USER\n",
            "-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-INGRESS\n"
            "-A DOCKER-INGRESS -p tcp -m tcp --dport 8000 -j ACCEPT\n-A DOCKER-INGRESS -j RETURN\n",
        )
    )
    bridge = HostInterface("docker_gwbridge", (ip_interface("172.18.0.1/16"),), True)
    dockerd = Listener(6, "tcp", None, 8000, process="dockerd")
    offers = find_offers(Listening((dockerd,), (), (), frozenset({("tcp", 8000)})))
    service = {
        "id": "serv",
        "scope": "container",
        "protocol": "tcp",
        "ports": ["8000"],
        "source": "192.0.2.0/24",
    }
    for loaded, found in (
        (None, "anywhere"),
        (document(SSH_FOR_SOME), "nowhere"),
        (document(service), "192.0.2.0/24"),
    ):
        text = swarm + (render_restore(loaded, 4, live=parse_save(swarm)) if loaded else "")
        surroundings = Surroundings((*HOST.interfaces, bridge))
        prepared = prepare(parse_restore(text), surroundings, 4)
        (row,) = expose(offers, {4: prepared}, (ENS33,))
        assert in_words(row) == [(4, ("ens33",), found)]
    assert row.access[0].rules == ("serv",)


def test_only_the_host_reaches_a_loopback_port() -> None:
    redis = Listener(4, "tcp", ip_address("127.0.0.1"), 6379)
    admin = Published(4, "tcp", ip_address("127.0.0.1"), 9000, ip_address("172.17.0.3"), 90)
    rule = {"scope": "container", "protocol": "tcp", "ports": ["9000"]}
    for row in rows(Listening((redis,), (admin,)), kernel(document(rule))):
        assert (row.level, row.notes) == ("nobody", ())
        assert row.access[0].reason == sentences.bound_to_loopback(ip_address("127.0.0.1"))


def test_a_neighbour_reaches_a_loopback_port_that_docker_forwards() -> None:
    redis = Listener(4, "tcp", ip_address("127.0.0.1"), 6379)
    admin = Published(4, "tcp", ip_address("127.0.0.1"), 9000, ip_address("172.17.0.3"), 90)
    found = {row.offer.port: row for row in rows(Listening((redis,), (admin,)), kernel(None))}
    assert (found[6379].level, found[9000].level) == ("nobody", "anywhere")
    address = ip_address("127.0.0.1")
    assert found[9000].notes == (sentences.forwarded_from_neighbours(address, closes=False),)
    # Docker 28 drops them before.
    raw = (
        "*raw\n:PREROUTING ACCEPT [0:0]\n"
        "-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 9000 -j DROP\nCOMMIT\n"
    )
    assert only(Listening((), (admin,)), kernel(None, v4=raw + DOCKER)).level == "nobody"


@pytest.mark.parametrize(
    ("external", "closes"), [((), False), (("wan0",), False), (("ens33",), True), (("wan0", "ens+"), True)]
)
def test_the_next_apply_closes_a_loopback_port_on_external_interfaces(
    external: tuple[str, ...], closes: bool
) -> None:
    admin = Published(4, "tcp", ip_address("127.0.0.1"), 9000, ip_address("172.17.0.3"), 90)
    offers = find_offers(Listening((), (admin,)))
    (row,) = expose(offers, kernel(None), (ENS33,), external=external)
    assert [note.endswith("The next apply closes that.") for note in row.notes] == [closes]
    loaded = kernel(document({"scope": "container", "protocol": "tcp", "ports": ["9000"]}))
    (row,) = expose(offers, loaded, (ENS33,), external=external)
    assert (row.level, row.notes) == ("nobody", ())


def test_ports_that_docker_filters_with_nftables_are_unknown() -> None:
    listening = Listening((Listener(4, "tcp", None, 8080, process="docker-proxy"), SSHD), by_nftables=True)
    found = {row.offer.port: row for row in rows(listening, kernel(document(SSH_FOR_SOME)))}
    assert (found[8080].level, found[22].level) == ("unknown", "networks")
    assert found[8080].access[0].reason == sentences.RULES_IN_NFTABLES


def test_addresses_of_inner_interfaces_and_none() -> None:
    inner = only(Listening((Listener(4, "tcp", ip_address("172.17.0.1"), 53),)), kernel(None))
    assert inner.level == "anywhere"
    assert inner.notes == (sentences.belongs_to_inner(ip_address("172.17.0.1"), "docker0"),)
    gone = only(Listening((Listener(4, "tcp", ip_address("192.0.2.99"), 53),)), kernel(None))
    assert (gone.level, gone.access[0].reason) == ("nobody", sentences.NOT_THIS_HOSTS_ADDRESS)
    here = only(Listening((Listener(4, "tcp", ip_address("192.0.2.10"), 53),)), kernel(None))
    assert (here.level, here.notes) == ("anywhere", ())


def test_a_port_bound_to_an_internal_interface() -> None:
    row = only(Listening((Listener(4, "udp", None, 53, interface="docker0"),)), kernel(None))
    assert (row.level, row.access[0].reason) == ("nobody", sentences.bound_to_internal("docker0"))
    assert row.notes == (sentences.only_on("docker0"),)


def test_interfaces_with_the_same_answer_are_joined() -> None:
    same = only(Listening((Listener(4, "tcp", None, 22),)), kernel(None), ENS33, ENS34)
    assert in_words(same) == [(4, ("ens33", "ens34"), "anywhere")]
    closed = DOCKER.replace(
        "-A FORWARD -j DOCKER-USER", "-A INPUT -i ens34 -j DROP\n-A FORWARD -j DOCKER-USER"
    )
    other = only(Listening((Listener(4, "tcp", None, 22),)), kernel(None, v4=closed), ENS33, ENS34)
    assert in_words(other) == [(4, ("ens33",), "anywhere"), (4, ("ens34",), "nowhere")]
    assert other.level == "anywhere"


def test_a_container_is_filtered_on_external_interfaces_only() -> None:
    row = only(Listening((), (SHOP,)), kernel(document(SSH_FOR_SOME)), ENS33, ENS34)
    assert in_words(row) == [(4, ("ens33",), "nowhere"), (4, ("ens34",), "anywhere")]


def test_a_few_banned_addresses_leave_it_open_to_anywhere() -> None:
    banned = DOCKER.replace(
        "-A FORWARD -j DOCKER-USER",
        "-A INPUT -s 203.0.113.9/32 -j DROP\n-A INPUT -s 203.0.113.64/26 -j DROP\n-A FORWARD -j DOCKER-USER",
    )
    row = only(Listening((Listener(4, "tcp", None, 22),)), kernel(None, v4=banned))
    assert in_words(row) == [(4, ("ens33",), "anywhere but 203.0.113.9, 203.0.113.64/26")]
    assert row.level == "anywhere"


def test_undecidable_rules_give_unknown() -> None:
    odd = DOCKER.replace(
        "-A FORWARD -j DOCKER-USER", "-A INPUT -m u32 --u32 0x0=0x1 -j DROP\n-A FORWARD -j DOCKER-USER"
    )
    row = only(Listening((Listener(4, "tcp", None, 22),)), kernel(None, v4=odd))
    assert (row.level, in_words(row)[0][2]) == ("unknown", "cannot tell")
    unread = expose(find_offers(Listening((SSHD,))), {4: kernel(None)[4]}, (ENS33,))
    assert [(each.family, each.level) for each in unread[0].access] == [(4, "anywhere"), (6, "unknown")]


def test_a_link_local_address_is_for_neighbours() -> None:
    near = HostInterface("ens33", (ip_interface("fe80::10/64"),), True)
    listener = Listener(6, "tcp", None, 22, v6only=True)
    surroundings = Surroundings((near, LO))
    prepared = prepare(parse_save(PLAIN6), surroundings, 6)
    (row,) = expose(find_offers(Listening((listener,))), {6: prepared}, (near,))
    assert in_words(row) == [(6, ("ens33",), "fe80::/10")]
    assert row.level == "networks"


def test_a_family_without_an_address_outside() -> None:
    row = only(Listening((SSHD,)), kernel(None), ENS34)
    assert in_words(row) == [(4, ("ens34",), "anywhere"), (6, (), "nowhere")]
    assert row.access[1].reason == sentences.no_address("ens34", 6)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), {"ens33", "ens34"}),
        (("ens+",), {"ens33", "ens34"}),
        (("ens34", "docker0"), {"ens33", "ens34", "docker0"}),
    ],
)
def test_the_interfaces_of_packets_from_outside(names: tuple[str, ...], found: set[str]) -> None:
    assert {each.name for each in outside_interfaces(Settings(external_interfaces=names), HOST)} == found


def test_the_widest_open_come_first_and_are_counted() -> None:
    listeners = (
        Listener(4, "tcp", None, 22),
        Listener(4, "tcp", None, 25),
        Listener(4, "tcp", ip_address("127.0.0.1"), 21),
    )
    found = rows(Listening(listeners, (SHOP,)), kernel(document(SSH_FOR_SOME, SHOP_FOR_ALL)))
    assert [(row.offer.port, row.level) for row in found] == [
        (8080, "anywhere"),
        (22, "networks"),
        (21, "nobody"),
        (25, "nobody"),
    ]
    assert describe_exposure(found) == "1 port is reachable from anywhere, 1 from some networks."
    assert describe_exposure(found[1:]) == "1 port is reachable from some networks."
    assert describe_exposure(found[2:]) == "No port is reachable from outside."
    # Of a container that its clients reach past this host nothing is claimed.
    assert describe_exposure(found[2:], past_host=["apart"]) == (
        "No port is known to be reachable from outside. Cannot tell who reaches 1 container (apart): "
        "no bridge of this host leads there, as with macvlan or ipvlan."
    )
    assert "5 containers (a, b, c and 2 more)" in describe_exposure((), past_host=list("abcde"))
    assert describe_exposure(()) == "Nothing listens and nothing is published."
    missing = "Ports may be missing: the list of listening sockets and published ports is not complete."
    assert describe_exposure((), listed=False) == missing
    assert describe_exposure(found[2:], listed=False) == (
        f"No port is known to be reachable from outside. {missing}"
    )


def test_rules_without_a_listening_port() -> None:
    wide = {"id": "wide", "scope": "host", "protocol": "tcp", "ports": ["20-30"]}
    other = {"id": "other", "scope": "both", "protocol": "udp", "ports": ["22"]}
    inner = {
        "id": "inner",
        "scope": "container",
        "protocol": "tcp",
        "ports": ["90"],
        "port_kind": "container",
    }
    ended = {**other, "id": "ended", "expires": "2027-01-31T18:00:00Z"}
    later = {**other, "id": "later", "starts": "2027-01-31T18:00:02Z"}
    block = {**other, "id": "block", "action": "block"}
    allowed = document(SSH_FOR_SOME, SHOP_FOR_ALL, wide, other, inner, ended, later, block)
    found = rows(Listening((SSHD,)), kernel(allowed))
    idle = find_idle_rules(allowed, found, "2027-01-31T18:00:01Z")
    # What has ended, has not begun or is a block allows nothing.
    assert {rule.id for rule in idle} == {"shop", "other"}


def test_networks_in_words() -> None:
    assert describe_networks(AddressSet.nothing(4)) == "none"
    assert describe_networks(AddressSet.of(4, ["192.0.2.7", "10.0.0.0/8"])) == "10.0.0.0/8, 192.0.2.7"
    many = AddressSet.of(4, [f"10.{number}.0.0/24" for number in range(20)])
    assert describe_networks(many) == "10.0.0.0/24, 10.1.0.0/24, 10.2.0.0/24 and 17 more"
    assert describe_networks(AddressSet.of(6, ["2001:db8::7"])) == "2001:db8::7"


def test_the_internet_is_covered_by_more_than_half_of_its_addresses() -> None:
    assert covers_the_internet(4, AddressSet.everything(4))
    assert not covers_the_internet(4, AddressSet.of(4, ["0.0.0.0/1"]))
    assert covers_the_internet(4, AddressSet.of(4, ["0.0.0.0/1", "128.0.0.0/8"]))
    assert covers_the_internet(6, AddressSet.of(6, ["2000::/3"]))
    assert not covers_the_internet(6, AddressSet.of(6, ["fc00::/7", "2001:db8::/32"]))
