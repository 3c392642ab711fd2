"""Destinations behind the host that are no container's: which there are, and what a load changes for them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from dockerfw.chains.render import render_restore
from dockerfw.document.document import Document
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.change_sentences import more_destinations
from dockerfw.reach.forwarded import MOST_DESTINATIONS, Destinations, OpenConnections, find_destinations
from dockerfw.reach.forwarded_reach import destination_changes, expose_destinations
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import HostInterface, StaticRoute, Surroundings
from tests.rig.docker_world import DB, OUTSIDE, SAVE, SURROUNDINGS, WEB
from tests.rig.documents import document

VIRBR = HostInterface("virbr0", (ip_interface("192.168.122.1/24"),), True, kind="bridge")
LAN = HostInterface(
    "lan0",
    (ip_interface("10.1.0.1/24"), ip_interface("2001:db8:a::1/64")),
    True,
    routes=(StaticRoute(ip_network("10.9.0.0/16")),),
)
AROUND = Surroundings(
    (*SURROUNDINGS.interfaces, VIRBR, LAN),
    SURROUNDINGS.default_routes,
)
SAVE6 = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n"
    "-A FORWARD -j DOCKER-USER\nCOMMIT\n"
)
TO_VMS = "-A FORWARD -d 192.168.122.0/24 -o virbr0 -j ACCEPT"
VMS = {"id": "vms1", "scope": "forwarded", "to": "192.168.122.0/24"}
SSH = {"id": "ssh1", "scope": "forwarded", "to": "192.168.122.10", "protocol": "tcp", "ports": ["22"]}
CONTAINERS = (DB, WEB)


def rules(
    wanted: Document | None, *others: str, nat: Sequence[str] = (), six: Sequence[str] = ()
) -> Mapping[Family, Prepared]:
    """Return both families with rules of others, and with a document loaded over them."""
    found: dict[Family, Prepared] = {}
    for family, save in ((4, SAVE), (6, SAVE6)):
        version: Family = 4 if family == 4 else 6
        more = others if family == 4 else six
        text = save + "\n".join(
            ["*filter", *more, "COMMIT", "*nat", *(nat if family == 4 else ()), "COMMIT", ""]
        )
        if wanted is not None:
            text += render_restore(wanted, version, live=parse_save(save), revision=1)
        found[version] = prepare(parse_restore(text, family=version), AROUND, version)
    return found


def destinations(
    *others: str,
    nat: Sequence[str] = (),
    documents: Sequence[Document | None] = (),
    connections: Sequence[OpenConnections] = (),
    six: Sequence[str] = (),
) -> Destinations:
    live = rules(None, *others, nat=nat, six=six)
    return find_destinations(live, documents, CONTAINERS, connections, ["ens33"])


def effects(
    old: Document | None,
    new: Document,
    *others: str,
    nat: Sequence[str] = (),
    six: Sequence[str] = (),
    **more: Any,
) -> list[str]:
    """Return the sentences about what a load of one document over another changes."""
    found = destinations(*others, nat=nat, documents=(old, new), six=six, **more)
    before, after = (rules(each, *others, nat=nat, six=six) for each in (old, new))
    return [str(each) for each in destination_changes(found, (old, new), before, after, OUTSIDE)]


def test_networks_of_interfaces_and_routes_are_destinations_and_those_of_containers_are_none() -> None:
    assert [(each.text, each.interface) for each in destinations().found] == [
        ("192.168.122.0/24", "virbr0"),
        ("10.1.0.0/24", "lan0"),
        ("10.9.0.0/16", "lan0"),
        ("2001:db8:a::/64", "lan0"),
    ]


def test_rules_of_others_and_open_connections_name_destinations_and_ports() -> None:
    found = destinations(
        "-A FORWARD -d 192.168.122.10 -p tcp -m multiport --dports 22,8000:8010 -j ACCEPT",
        "-A FORWARD -o virbr0 -p udp --dport 53 -j ACCEPT",
        "-A FORWARD -d 10.7.0.0/16 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -d 172.17.0.9 -j ACCEPT",
        connections=[
            OpenConnections(ip_address("10.9.1.7"), "tcp", 443),
            OpenConnections(ip_address("172.17.0.2"), "tcp", 5432),
        ],
        documents=[document({**SSH, "to": "10.77.0.0/16"})],
    )
    named = {each.text: each.ports for each in found.found}
    assert named["192.168.122.10"] == (("tcp", (22, 22)), ("tcp", (8000, 8010)))
    assert named["192.168.122.0/24"] == (("udp", (53, 53)),)
    assert named["10.9.1.7"] == (("tcp", (443, 443)),)
    assert named["10.77.0.0/16"] == (("tcp", (22, 22)),)
    assert not {"10.7.0.0/16", "172.17.0.9", "172.17.0.2"} & set(named)


def test_an_address_that_stands_for_a_network_is_in_no_smaller_one_and_not_the_hosts() -> None:
    found = destinations(
        "-A FORWARD -d 192.168.122.254 -j ACCEPT", "-A FORWARD -d 192.168.122.252/31 -j ACCEPT"
    )
    network = next(each for each in found.found if each.text == "192.168.122.0/24")
    assert str(network.address) == "192.168.122.251"


def test_the_first_load_names_what_it_cuts() -> None:
    assert effects(None, document()) == []
    assert effects(None, document(), TO_VMS) == [
        "Everything forwarded to 192.168.122.0/24 (behind virbr0) is no longer reachable from anywhere"
    ]
    assert effects(None, document(VMS), TO_VMS) == []
    six = ["-A FORWARD -o lan0 -j ACCEPT"]
    assert effects(None, document(), six=six) == [
        "Everything forwarded to 2001:db8:a::/64 (behind lan0) is no longer reachable from anywhere"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "-A FORWARD -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -i lan0 -o virbr0 -j ACCEPT",
        "-A FORWARD -s 127.0.0.0/8 -o virbr0 -j ACCEPT",
    ],
)
def test_what_does_not_pass_today_is_not_named(line: str) -> None:
    assert effects(None, document(), line) == []


def test_ports_that_rules_of_others_name() -> None:
    lines = ("-A FORWARD -o virbr0 -p tcp -m multiport --dports 22,8000:8010 -j ACCEPT",)
    assert effects(None, document(), *lines) == [
        "22/tcp and 8000-8010/tcp forwarded to 192.168.122.0/24 (behind virbr0) are no longer reachable"
        " from anywhere"
    ]
    office = ("-A FORWARD -s 203.0.113.0/24 -o virbr0 -p tcp -j ACCEPT",)
    assert effects(None, document(), *office) == [
        "Every other TCP port forwarded to 192.168.122.0/24 (behind virbr0) is no longer reachable"
        " from 203.0.113.0/24"
    ]


def test_a_rule_for_one_machine_leaves_the_rest_closed() -> None:
    assert effects(None, document(SSH), TO_VMS) == [
        "Everything forwarded to 192.168.122.0/24 (behind virbr0) is no longer reachable from anywhere",
        "Everything else forwarded to 192.168.122.10 (behind virbr0) is no longer reachable from anywhere",
    ]
    assert effects(document(SSH), document(VMS), TO_VMS) == [
        "Everything forwarded to 192.168.122.0/24 (behind virbr0) becomes reachable from anywhere",
        "Everything else forwarded to 192.168.122.10 (behind virbr0) becomes reachable from anywhere",
    ]


def test_a_forward_of_every_port_or_a_range() -> None:
    nat = ["-A PREROUTING -d 192.0.2.77 -j DNAT --to-destination 10.1.0.7"]
    accept = "-A FORWARD -d 10.1.0.7 -m conntrack --ctstate DNAT -j ACCEPT"
    assert effects(None, document(), accept, nat=nat) == [
        "Everything forwarded to 10.1.0.7 (behind lan0) is no longer reachable from anywhere"
    ]
    nat = ["-A PREROUTING -i ens33 -p udp --dport 10000:20000 -j DNAT --to-destination 10.1.0.7"]
    assert effects(None, document(), accept, nat=nat) == [
        "10000-20000/udp forwarded to 10.1.0.7 (behind lan0) is no longer reachable from anywhere"
    ]
    rule = {"id": "voip", "scope": "forwarded", "to": "10.1.0.7", "protocol": "udp", "ports": ["10000-20000"]}
    assert effects(None, document(rule), accept, nat=nat) == []


def test_what_the_rules_of_others_do_is_unknown_where_it_is() -> None:
    line = "-A FORWARD -o virbr0 -m u32 --u32 0=0 -j ACCEPT"
    place = "cannot tell whether everything forwarded to 192.168.122.0/24 (behind virbr0) is reachable"
    assert effects(None, document(VMS), line) == []
    (opens,) = effects(document(), document(VMS), line)
    assert opens.startswith(place)
    assert not opens.endswith("refuse it")
    # What may pass today is not cut unannounced.
    (cut,) = effects(None, document(), line)
    assert cut.startswith(place)
    assert cut.endswith(", and the new rules refuse it")


def test_each_cut_offers_a_rule() -> None:
    found = destinations(TO_VMS)
    before, after = rules(None, TO_VMS), rules(document(), TO_VMS)
    (change,) = destination_changes(found, (None, document()), before, after, OUTSIDE)
    assert dict(change.allow) == {"scope": "forwarded", "to": "192.168.122.0/24", "protocol": "any"}
    line = "-A FORWARD -o virbr0 -p tcp -m multiport --dports 22,8000:8010 -j ACCEPT"
    found, before, after = destinations(line), rules(None, line), rules(document(), line)
    (change,) = destination_changes(found, (None, document()), before, after, OUTSIDE)
    assert dict(change.allow) == {
        "scope": "forwarded",
        "to": "192.168.122.0/24",
        "protocol": "tcp",
        "ports": "22, 8000-8010",
    }


def test_the_exposure_has_rows_with_what_reaches_each_destination() -> None:
    both = document(SSH)
    found = destinations(TO_VMS, documents=(both,))
    rows = expose_destinations(found, (both,), rules(both, TO_VMS), OUTSIDE)
    assert [(row.destination.text, row.what, row.level, row.access[0].rules) for row in rows] == [
        ("192.168.122.0/24", "everything", "nobody", ()),
        ("10.1.0.0/24", "everything", "nobody", ()),
        ("10.9.0.0/16", "everything", "nobody", ()),
        ("192.168.122.10", "22/tcp", "anywhere", ("ssh1",)),
        ("2001:db8:a::/64", "everything", "nobody", ()),
    ]


def test_very_many_destinations_are_counted() -> None:
    lines = [f"-A FORWARD -d 10.20.{number}.0/24 -j ACCEPT" for number in range(MOST_DESTINATIONS + 8)]
    found = destinations(*lines)
    assert (len(found.found), found.more) == (MOST_DESTINATIONS, 12)
    assert effects(None, document(), *lines)[-1] == more_destinations(12)


def test_a_rule_for_containers_opens_its_port_of_other_destinations_too() -> None:
    """Such a rule matches all forwarded traffic, and the review and the exposure say so."""
    web = {"id": "web1", "scope": "container", "protocol": "tcp", "ports": ["8080"]}
    refusing = "-A FORWARD -p tcp --dport 8081 -j DROP"
    assert effects(document(), document(web), refusing, TO_VMS) == [
        "8080/tcp forwarded to 192.168.122.0/24 (behind virbr0) becomes reachable from anywhere"
    ]
    assert effects(None, document(web), TO_VMS) == [
        "Everything else forwarded to 192.168.122.0/24 (behind virbr0) is no longer reachable from anywhere"
    ]
    # A rule that stays is asked about as well.
    every = {"id": "all1", "scope": "both"}
    assert effects(document(web, every), document(web), TO_VMS) == [
        "Everything else forwarded to 192.168.122.0/24 (behind virbr0) is no longer reachable from anywhere"
    ]
    rows = expose_destinations(destinations(TO_VMS), (document(web),), rules(document(web), TO_VMS), OUTSIDE)
    vms = [
        (row.what, row.level, row.access[0].rules) for row in rows if row.destination.interface == "virbr0"
    ]
    assert vms == [("8080/tcp", "anywhere", ("web1",))]


def test_with_very_many_ports_the_rest_is_not_called_everything() -> None:
    ports = [str(port) for port in range(1000, 1080, 2)]
    many = document({"id": "many", "scope": "container", "protocol": "tcp", "ports": ports})
    (said,) = effects(None, many, TO_VMS)
    assert said.startswith("Everything that no rule names forwarded to 192.168.122.0/24")


def test_what_closes_on_one_interface_may_stay_open_on_another() -> None:
    live, after = rules(None, TO_VMS), rules(document(), TO_VMS)
    found = destinations(TO_VMS)
    both = (*OUTSIDE, LAN)
    (change,) = destination_changes(found, (None, document()), live, after, both)
    assert "192.168.122.0/24 (behind virbr0) is no longer reachable" in change.sentence
    assert change.sentence.endswith("from anywhere through ens33")
    row = next(
        row
        for row in expose_destinations(found, (document(),), after, both)
        if row.destination.interface == "virbr0"
    )
    assert [(each.interfaces, each.level) for each in row.access] == [
        (("ens33",), "nobody"),
        (("lan0",), "anywhere"),
    ]


def test_many_thousand_rules_of_others_take_a_moment() -> None:
    lines = [f"-A FORWARD -d 10.{n // 250}.{n % 250}.0/24 -o virbr0 -j ACCEPT" for n in range(5_000)]
    live = rules(None, *lines)
    began = time.process_time()
    found = find_destinations(live, (), CONTAINERS, (), ["ens33"])
    assert time.process_time() - began < 5
    assert (len(found.found), found.more) == (MOST_DESTINATIONS, 5_003 - MOST_DESTINATIONS)


def test_a_network_of_two_addresses() -> None:
    found = destinations("-A FORWARD -d 10.66.0.0/31 -j ACCEPT", "-A FORWARD -d 10.66.0.4/30 -j ACCEPT")
    named = {each.text: str(each.address) for each in found.found}
    assert (named["10.66.0.0/31"], named["10.66.0.4/30"]) == ("10.66.0.1", "10.66.0.6")
