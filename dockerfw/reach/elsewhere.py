"""Verdicts that this host's iptables does not give: Docker's nftables does, or the packet never comes here.

Docker with nftables translates a packet for a published port before any rule of iptables sees its
destination. A macvlan or ipvlan container is a neighbour of its clients, and packets to it pass by this host.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dockerfw.iptables.model import Family
from dockerfw.iptables.networks import family_of
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import sentences
from dockerfw.reach.listening import DOCKER_PROXY, Address, Listening, RunningContainer
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from dockerfw.simulation.trace import Trace, Verdict


def admit_elsewhere(trace: Trace, listening: Listening, surroundings: Surroundings) -> Trace:
    """Return a trace whose verdict is unknown if it is given elsewhere."""
    packet = trace.packet
    reason = ""
    if trace.hook == "FORWARD" and trace.destination == packet.destination and packet.in_interface:
        reason = why_past_host(
            packet.family,
            packet.destination,
            packet.in_interface,
            surroundings,
            container=any(packet.destination in each.addresses for each in listening.containers or ()),
        )
    if not reason and _is_hidden(trace, listening):
        reason = sentences.RULES_IN_NFTABLES
    if not reason or trace.verdict.kind == "UNKNOWN":
        return trace
    return replace(trace, verdict=Verdict("UNKNOWN", reason=reason))


def why_past_host(
    family: Family, destination: Address, in_interface: str, surroundings: Surroundings, *, container: bool
) -> str:
    """Return why packets from an interface to an address may not pass this host; empty if they do.

    `container` is True for the address of a container.
    """
    interface = surroundings.interface(in_interface)
    if interface is None or interface.kind == "bridge":
        return ""
    if any(each.master == in_interface for each in surroundings.interfaces):
        return ""
    if surroundings.route(family, destination, in_interface) != in_interface:
        return ""
    near = any(destination in each.network for each in interface.addresses)
    return sentences.past_this_host(destination, in_interface) if near or container else ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A container that clients may reach past this host: at which of its addresses, and why."""

    container: RunningContainer
    addresses: tuple[Address, ...]
    reason: str


def containers_past_host(
    listening: Listening, surroundings: Surroundings, outside: Iterable[HostInterface]
) -> tuple[Neighbour, ...]:
    """Return the containers that clients may reach past this host."""
    names = [each.name for each in outside]
    # A route takes a while to find, and nearly all containers are behind one of these.
    inner = [
        address.network
        for each in surroundings.interfaces
        for address in each.addresses
        if each.name not in names and not address.is_link_local
    ]
    found = []
    for container in listening.containers or ():
        reasons = {
            address: reason
            for address in container.addresses
            if not any(address in network for network in inner)
            for name in names
            if (reason := why_past_host(family_of(address), address, name, surroundings, container=True))
        }
        if reasons:
            found.append(Neighbour(container, tuple(reasons), next(iter(reasons.values()))))
    return tuple(found)


def _is_hidden(trace: Trace, listening: Listening) -> bool:
    """Return True if Docker's nftables tables may decide about a packet."""
    if trace.hook == "FORWARD":
        # What iptables refuses is refused, whatever Docker allows.
        return listening.by_nftables and trace.verdict.kind == "ACCEPT"
    return is_hidden_by_nftables(trace.packet.protocol, trace.packet.destination_port, listening)


def is_hidden_by_nftables(protocol: int, port: int | None, listening: Listening) -> bool:
    """Return True if Docker's nftables tables may translate packets that are dialled to a port."""
    if not listening.by_nftables or port is None:
        return False
    dialled = (protocol, port)
    if any(
        (protocol_number(each.protocol), each.port) == dialled
        for container in listening.containers or ()
        for each in container.publications
    ):
        return True
    holders = [
        each.process for each in listening.listeners if (protocol_number(each.protocol), each.port) == dialled
    ]
    # Without Docker's own answer, a port that no program of the host holds may be a container's.
    return DOCKER_PROXY in holders or (listening.containers is None and not holders)
