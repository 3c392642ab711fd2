"""Packets for the rules of a document, most of which no random packet would ever reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from dockerfw.document.fields import port_range
from dockerfw.document.values import DocumentRule
from dockerfw.reach.container_sets import find_selected
from tests.differential.bindings import Bindings
from tests.differential.evidence import Shot
from tests.differential.frames import SCTP, TCP, UDP, Address
from tests.differential.pools import Dice
from tests.differential.sources import can_be_destination, can_be_source
from tests.differential.world import HOST_ADDRESSES
from tests.rig.namespace import Family

_OUTSIDE: Final = ("left", "right")
# Only one link has a route to other link-local addresses.
_LINK: Final = ipaddress.ip_network("fe80::/64")
_PROTOCOLS: Final = {"tcp": TCP, "udp": UDP, "sctp": SCTP}


def aim(dice: Dice, shot: Shot, bindings: Bindings) -> Shot:
    """Return a packet that a rule of the document is for, as far as its place allows, or the same one.

    It has the protocol, a port, a source and the destination of the rule.
    """
    rules = [rule for rule in bindings.document.rules if rule.protocol in _PROTOCOLS]
    if not rules or shot.place not in _OUTSIDE:
        return shot
    rule, family = dice.one(rules), shot.wire.family
    destination, port = shot.wire.destination, dice.number(1, 65535)
    if rule.ports:
        port = dice.one(port_range(dice.one(rule.ports)))
    if places := list(_places(rule, bindings, family)):
        destination, wanted = dice.one(places)
        port = wanted or port
    elif rule.to:
        destination = _one_of(dice, rule.to)
    elif rule.is_for_host:
        destination = ipaddress.ip_address(dice.one(HOST_ADDRESSES[family]))
    on_other_link = destination.is_link_local and destination not in _LINK
    if destination.version != family or on_other_link or not can_be_destination(destination):
        return shot
    source = shot.wire.source
    if networks := bindings.sources(rule, family):
        made = _one_of(dice, dice.one(networks))
        source = made if can_be_source(made) else source
    wire = replace(
        shot.wire,
        source=source,
        destination=destination,
        protocol=_PROTOCOLS[rule.protocol],
        source_port=shot.wire.source_port or 40001,
        destination_port=port,
        icmp_type=0,
        icmp_code=0,
    )
    return replace(shot, wire=wire)


def _places(rule: DocumentRule, bindings: Bindings, family: Family) -> Iterator[tuple[Address, int]]:
    """Yield where the containers of a rule by name answer, each with its port or 0 for any of the rule's."""
    if not rule.container:
        return
    ranges = [port_range(text) for text in rule.ports]
    for each in find_selected(bindings.listening.containers or (), rule.container):
        if rule.port_kind == "container":
            yield from ((address, 0) for address in each.addresses if address.version == family)
            continue
        for found in each.publications:
            if found.protocol == rule.protocol and any(low <= found.port <= high for low, high in ranges):
                named = (
                    (found.address,) if found.address else map(ipaddress.ip_address, HOST_ADDRESSES[family])
                )
                yield from ((address, found.port) for address in named if address.version == family)


def _one_of(dice: Dice, network: str) -> Address:
    """Return the first or the last address of a network, or the second."""
    found = ipaddress.ip_network(network)
    number = dice.one((int(found[0]), int(found[-1]), min(int(found[0]) + 1, int(found[-1]))))
    return type(found[0])(number)
