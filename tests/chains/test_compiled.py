"""Rules compiled into groups, sets and dispatch chains: their form, their size and what they mean."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import FILTERS_BLOCK, is_own_chain, own_sets_named, rule_id_of
from dockerfw.chains.render import rule_lines, write_restore
from dockerfw.chains.rendered_rules import Rendering, read_rendering
from dockerfw.chains.sources import SourceReader, Sources
from dockerfw.document.fields import port_range
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.iptables.replay import parse_restore
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import Prepared, prepare, simulate
from dockerfw.simulation.surroundings import IpSet
from tests.rig.compiled_documents import BOUND, PLAIN, SMALL, compiled, random_document
from tests.simulation.hosts import HOST

FORMS = {
    "usual": USUAL,
    "small": SMALL,
    "dispatched": Thresholds(row=1, limited_row=1, fan_out=3),
    "sets": Thresholds(lines=0),
    "source chains": Thresholds(lines=1, row=1, limited_row=1, fan_out=4, sets=0, chained=1000, inline=1),
}
# A published port leads to a container that answers on another one.
NAT = {
    4: "*nat\n-A PREROUTING -d 192.0.2.1 -p tcp --dport {} -j DNAT --to 172.17.0.9:{}\nCOMMIT\n",
    6: "*nat\n-A PREROUTING -d 2001:db8::1 -p tcp --dport {} -j DNAT --to [fd00:17::9]:{}\nCOMMIT\n",
}
CLEAN = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n"
    "-A FORWARD -j DOCKER-USER\nCOMMIT\n"
)
CLIENTS: dict[Family, tuple[str, ...]] = {
    4: ("203.0.113.5", "203.0.113.200", "203.0.7.7", "198.51.100.7", "192.0.2.77", "10.1.1.1", "8.8.8.8"),
    6: ("2001:db8:9::5", "2001:db8:9::6", "2001:db8:7::1", "2001:db8:8::1", "2a00::1"),
}
DESTINATIONS: dict[Family, tuple[str, ...]] = {
    4: ("192.0.2.1", "172.17.0.9", "172.17.0.2"),
    6: ("2001:db8::1", "fd00:17::9", "fd00:17::2"),
}


def find_flaws(wanted: Document, family: Family, rendering: Rendering) -> Iterator[str]:
    """Yield what is wrong with the chains of a rendering: ends, targets, names, and rules that are lost."""
    ids = {rule_id_of(line) for lines in rendering.chains.values() for line in lines}
    ids |= {each for one in rendering.sets for found in one.members.values() for each in found}
    reader = SourceReader(wanted.groups, family)
    for each in wanted.rules:
        sources = reader.read(each)
        # One line for anyone, or for a bound set, does for all rules that match the same.
        if sources is None or sources.anyone or not sources.networks:
            continue
        if rule_lines(each, family, wanted.groups) and each.id not in ids:
            yield f"the rule {each} is nowhere"
    entered = {"FILTERS-HOST": "-j", "FILTERS-CONTAINERS": "-j"}
    for name, lines in rendering.chains.items():
        if not is_own_chain(name) or len(name) > 28:
            yield f"{name} is no name of ours"
        last = re.sub(r'^-m comment --comment "[^"]*" ', "", lines[-1])
        if name != FILTERS_BLOCK and not re.fullmatch(r"-[jg] \S+( --reject-with \S+)?", last):
            yield f"{name} falls off its end: {lines[-1]}"
        for line in lines:
            if found := re.search(r"(-[jg]) (FILTERS\S*)$", line):
                if found[2] not in rendering.chains:
                    yield f"{name} leads to {found[2]}, which is not there"
                entered[found[2]] = entered.get(found[2], "") + found[1]
        # RETURN without a rule's id means: not blocked. Elsewhere it would allow.
        blocks = name.startswith(("FILTERS-DB", "FILTERS-DHB", "FILTERS-DCB")) or name == FILTERS_BLOCK
        if lines[-1] == "-j RETURN" and not blocks:
            yield f"{name} allows what reaches its end"
        goes_on = re.fullmatch(r"-j RETURN|-g FILTERS-D[HC]?B-\S+", lines[-1])
        if blocks and not goes_on and name != FILTERS_BLOCK:
            yield f"{name} does not go on in the chain that calls it"
    yield from (f"nothing leads to {name}" for name in rendering.chains if name not in entered)
    named = own_sets_named(write_restore(rendering, 4))
    static = tuple(name for name in named if "-s" in name)
    if static != tuple(sorted(one.name for one in rendering.sets)):
        yield f"the lines name {static}"


@pytest.mark.parametrize("form", FORMS)
def test_no_packet_falls_off_the_end_of_a_chain(form: str) -> None:
    dice = random.Random(form)
    for size in (0, 1, 2, 5, 20, 60, 200):
        wanted = random_document(dice, size, times=True)
        for family in FAMILIES:
            rendering = compiled(wanted, family, FORMS[form])
            assert not list(find_flaws(wanted, family, rendering))
            assert compiled(wanted, family, FORMS[form]) == rendering
            assert read_rendering(rendering.to_text()).chains == rendering.chains


def _prepare(wanted: Document, family: Family, limits: Thresholds, nat: str) -> Prepared:
    rendering = compiled(wanted, family, limits)
    text = nat + CLEAN + write_restore(rendering, family)
    kind = "family inet" if family == 4 else "family inet6"
    sets = {
        one.name: IpSet(one.name, "hash:net", tuple(one.members), f"{kind} counters comment")
        for one in rendering.sets
    }
    bound = {name: IpSet(name, "hash:net", members, kind) for name, members in BOUND[family].items()}
    fixed = {
        **bound,
        f"dockerfw{family}-proxy": IpSet(
            f"dockerfw{family}-proxy", "hash:net,port", (f"{DESTINATIONS[family][0]},tcp:8443",), kind
        ),
        f"dockerfw{family}-bridges": IpSet(f"dockerfw{family}-bridges", "hash:net,iface", (), kind),
    }
    around = replace(HOST, sets={**sets, **fixed})
    return prepare(parse_restore(text, family=family), around, family)


def _packets(dice: random.Random, family: Family) -> Iterator[Packet]:
    for _ in range(25):
        protocol = dice.choice((6, 6, 6, 17, 132, 33, 1 if family == 4 else 58, 47))
        port = dice.choice((21, 22, 53, 80, 81, 85, 91, 443, 1023, 1024, 8049, 8050, 8100, 8443, 65535))
        yield Packet(
            family,
            ip_address(dice.choice(CLIENTS[family])),
            ip_address(dice.choice(DESTINATIONS[family])),
            protocol,
            "eth0",
            40000 if protocol in (6, 17, 33, 132) else None,
            port if protocol in (6, 17, 33, 132) else None,
            icmp_type={1: 8, 58: 128}.get(protocol),
            icmp_code=0 if protocol in (1, 58) else None,
        )


@pytest.mark.parametrize("form", [form for form in FORMS if form != "usual"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_form_means_the_same(form: str, family: Family) -> None:
    dice = random.Random(f"{form} {family}")
    answers = set()
    for size in (1, 3, 6, 12, 12, 25, 25, 40, 60):
        wanted = random_document(dice, size)
        nat = NAT[family].format(dice.choice((80, 8443, 8050)), dice.choice((22, 81, 443)))
        plain = _prepare(wanted, family, PLAIN, nat)
        other = _prepare(wanted, family, FORMS[form], nat)
        for packet in _packets(dice, family):
            expected, found = simulate(plain, packet).verdict, simulate(other, packet).verdict
            assert found.kind == expected.kind, (packet, expected, found)
            answers.add(found.kind)
    assert {"ACCEPT", "DROP", "REJECT"} <= answers


def _applies(each: DocumentRule, sources: Sources | None, packet: Packet) -> bool:
    """Return True if a rule is about a packet whose destination nobody has changed."""
    members = [
        *(sources.networks if sources else ()),
        *(network for name in (sources.bound if sources else ()) for network in BOUND[packet.family][name]),
    ]
    source = sources is not None and (
        sources.anyone or any(packet.source in ip_network(network) for network in members)
    )
    icmp = {"icmp": 1 if packet.family == 4 else 58}
    numbers = {"any": packet.protocol, **icmp}
    protocol = numbers.get(each.protocol, protocol_number(each.protocol)) == packet.protocol
    ranges = [port_range(port) for port in each.ports]
    port = not ranges or any(first <= (packet.destination_port or 0) <= last for first, last in ranges)
    to = not each.to or packet.destination in ip_network(each.to)
    return source and protocol and port and to and _is_about(each, packet)


def _is_about(each: DocumentRule, packet: Packet) -> bool:
    if str(packet.destination) != DESTINATIONS[packet.family][0]:
        return each.scope != "host"
    if each.scope != "container" or each.port_kind == "container":
        return each.scope in ("host", "both")
    # A container's port at the host's own address is docker-proxy's, which is known for TCP and UDP.
    proxied = (packet.protocol, packet.destination_port) == (6, 8443)
    if each.protocol in ("tcp", "udp", "any"):
        return proxied and (bool(each.ports) or each.action == "block")
    return packet.family == 6 and bool(each.ports)


def _expected(wanted: Document, packet: Packet) -> str:
    """Return what a document says about a packet."""
    reader = SourceReader(wanted.groups, packet.family)
    about = [each for each in wanted.rules if _applies(each, reader.read(each), packet)]
    if any(each.action == "block" for each in about):
        return "DROP"
    icmp = packet.protocol in (1, 58) and wanted.settings.icmp == "accept"
    if about or (icmp and str(packet.destination) == DESTINATIONS[packet.family][0]):
        return "ACCEPT"
    return "REJECT" if wanted.settings.refuse == "reject" else "DROP"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_rules_mean_what_the_document_says(form: str, family: Family) -> None:
    dice = random.Random(f"meaning {form} {family}")
    for size in (2, 6, 12, 25, 25, 50):
        wanted = random_document(dice, size)
        prepared = _prepare(wanted, family, FORMS[form], "")
        for packet in _packets(dice, family):
            found = simulate(prepared, packet).verdict
            assert found.kind == _expected(wanted, packet), (packet, found)
