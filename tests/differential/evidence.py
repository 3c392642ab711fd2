"""Sends one packet through the world and finds out from counters what the kernel did with it.

Every verdict has positive evidence: a sentinel after the hook counted the packet, or the counter of a rule or
policy that drops or rejects did. A packet without evidence was lost by the rig. The rig sends it again, and
in the end reports it as lost; it never counts as dropped.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from dockerfw.iptables.model import Rule, Ruleset
from dockerfw.iptables.parse import parse_save
from tests.differential.frames import ICMP, ICMPV6, NONCE_AT, SCTP, TCP, UDP, Wire, ethernet_bytes, ip_bytes
from tests.differential.taps import Arrival
from tests.differential.world import World
from tests.rig.namespace import Family

Kind = Literal["ACCEPT", "DROP", "REJECT"]
Hook = Literal["INPUT", "FORWARD", "OUTPUT"]

RuleAt = tuple[str, str, int]
"""Table, chain, and number of the rule from 1; 0 is the policy."""

HOST: Final = "host"
"""The place of packets that the host itself sends."""

PATIENCE: Final = 1.0
_SENDINGS: Final = 3
_COUNTED: Final = re.compile(r"\[(\d+):\d+\] -A (\S+)")
_UNREACHABLE: Final[Mapping[Family, tuple[int, Mapping[int, str]]]] = {
    4: (
        3,
        {
            0: "icmp-net-unreachable",
            1: "icmp-host-unreachable",
            2: "icmp-proto-unreachable",
            3: "icmp-port-unreachable",
            9: "icmp-net-prohibited",
            10: "icmp-host-prohibited",
            13: "icmp-admin-prohibited",
        },
    ),
    6: (
        1,
        {
            0: "icmp6-no-route",
            1: "icmp6-adm-prohibited",
            3: "icmp6-addr-unreachable",
            4: "icmp6-port-unreachable",
            5: "icmp6-policy-fail",
            6: "icmp6-reject-route",
        },
    ),
}


class RigError(AssertionError):
    """The rig could not find out what the kernel did; `moved` are the counters of the last attempt."""

    def __init__(self, message: str, moved: Mapping[RuleAt, int]) -> None:
        super().__init__(message)
        self.moved = moved


@dataclass(frozen=True, slots=True)
class Shot:
    """One packet to send from a tap or the host itself; `bridged` names a container on the same bridge."""

    place: str
    wire: Wire
    bridged: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel did with a shot."""

    shot: Shot
    kind: Kind
    hook: Hook | None
    reject_with: str
    """The answer that came back, or ""."""
    deciding: RuleAt | None
    counted: Mapping[RuleAt, int]
    """The increase of the counters of rules and policies, in the chains that the packet can reach."""
    arrived: tuple[tuple[str, str, int | None], ...]
    """Where it arrived: the tap, and the destination and port in the packet there."""
    sentinels: Mapping[str, int]


def read_counters(save: str) -> dict[RuleAt, int]:
    """Return the packets that each rule and policy of `iptables-save -c` has counted."""
    found: dict[RuleAt, int] = {}
    table = ""
    places: dict[str, Iterator[int]] = {}
    for line in save.splitlines():
        if line.startswith("*"):
            table, places = line[1:], {}
        elif line.startswith(":"):
            chain, policy, counters = line[1:].split(" ")
            places[chain] = itertools.count(1)
            if policy != "-":
                found[table, chain, 0] = int(counters[1:].split(":")[0])
        elif counted := _COUNTED.match(line):
            found[table, counted[2], next(places[counted[2]])] = int(counted[1])
    return found


class Range:
    """A loaded ruleset of one family, through which packets are sent."""

    def __init__(self, world: World, family: Family) -> None:
        """Read the loaded rules."""
        self._world = world
        self.family = family
        self.save = world.save(family)
        self.ruleset = parse_save(self.save)
        self._counters = read_counters(self.save)
        self._sentinels = world.sentinels.read()
        self._nonces = itertools.count(1)
        self._local = reachable_chains(self.ruleset, _OUTPUT_HOOKS)
        self._inbound = reachable_chains(self.ruleset, _INBOUND_HOOKS)
        self._macs = {place.name: world.mac_of(place.interface) for place in world.places()}

    def fire(self, shot: Shot) -> Seen:
        """Send a packet and return what the kernel did. Raises RigError if that cannot be found out."""
        for _ in range(_SENDINGS):
            self._world.arrivals()
            self._sentinels = self._world.sentinels.read()
            fresh = _with_nonce(shot, next(self._nonces))
            self._world.connections.delete_all()
            self._send(fresh)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                seen = self._look(fresh)
                if seen is not None:
                    return seen
                time.sleep(0.01)
            moved, passed = self._catch_up()
        left = f"counters {moved} and sentinels {passed}"
        raise RigError(f"{shot} left no evidence of a verdict, sent {_SENDINGS} times: {left}", moved)

    def _send(self, shot: Shot) -> None:
        wire = shot.wire
        if shot.place == HOST:
            self._world.local.send(ip_bytes(wire), str(wire.destination))
            return
        tap = self._world.taps[shot.place]
        receiver = self._world.taps[shot.bridged].mac if shot.bridged else self._macs[shot.place]
        tap.send(ethernet_bytes(wire, source_mac=tap.mac, destination_mac=receiver))

    def _catch_up(self) -> tuple[dict[RuleAt, int], dict[str, int]]:
        """Start from the current counters; return those that moved, and the sentinels that counted."""
        counters, sentinels = read_counters(self._world.save(self.family)), self._world.sentinels.read()
        moved = {
            at: count - self._counters[at] for at, count in counters.items() if count != self._counters[at]
        }
        self._counters = counters
        return moved, {name: count - self._sentinels[name] for name, count in sentinels.items()}

    def _look(self, shot: Shot) -> Seen | None:
        now = self._world.sentinels.read()
        sentinels = {name: now[name] - before for name, before in self._sentinels.items()}
        if not sentinels["sent" if shot.place == HOST else "entered"]:
            return None
        counters = read_counters(self._world.save(self.family))
        looped = shot.place == HOST and sentinels["entered"] > 0
        ours = self._inbound if shot.place != HOST else self._local | self._inbound if looped else self._local
        moved = {
            at: count - self._counters[at]
            for at, count in counters.items()
            if count != self._counters[at] and at[:2] in ours
        }
        hook = _hook(shot, sentinels, looped=looped)
        kind, deciding = self._verdict(moved, hook)
        if kind is None:
            return None
        self._counters = counters
        arrivals = [arrival for arrival in self._world.arrivals() if arrival.is_ip]
        answers = [answer for arrival in arrivals if (answer := _find_answer(arrival, shot.wire))]
        return Seen(
            shot=shot,
            kind=kind,
            hook=hook,
            reject_with=answers[0] if kind == "REJECT" and answers else "",
            deciding=deciding,
            counted=moved,
            # A packet to the host itself arrives at no tap, but the answer to an echo looks like an arrival.
            arrived=tuple(
                where
                for arrival in arrivals
                if hook != "INPUT" and (where := _find_arrival(arrival, shot.wire))
            ),
            sentinels=sentinels,
        )

    def _verdict(self, moved: Mapping[RuleAt, int], hook: Hook | None) -> tuple[Kind | None, RuleAt | None]:
        last = {at: self._target(at) for at in moved}
        if hook is not None:
            accepting = [at for at, name in last.items() if name == "ACCEPT" and at[0] == "filter"]
            return "ACCEPT", accepting[0] if len(accepting) == 1 else None
        for kind in ("REJECT", "DROP"):
            deciding = [at for at, name in last.items() if name == kind]
            if deciding:
                return kind, deciding[0] if len(deciding) == 1 else None
        return None, None

    def _target(self, at: RuleAt) -> str:
        table, name, number = at
        chain = self.ruleset.chain(table, name)
        assert chain is not None
        if number == 0:
            return chain.policy or ""
        target = chain.rules[number - 1].target
        return target.name if target else ""

    def rule(self, at: RuleAt) -> Rule | None:
        """Return a rule by its place, or None for a policy."""
        chain = self.ruleset.chain(at[0], at[1])
        return chain.rules[at[2] - 1] if chain and at[2] else None


def _hook(shot: Shot, sentinels: Mapping[str, int], *, looped: bool) -> Hook | None:
    """Return the hook that a packet passed; a packet from the host to itself must pass INPUT too."""
    if shot.place == HOST:
        return "OUTPUT" if sentinels["input" if looped else "output"] else None
    if sentinels["input"]:
        return "INPUT"
    return "FORWARD" if sentinels["forward"] else None


_INBOUND_HOOKS: Final = (
    *(("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("nat", "PREROUTING")),
    *(("mangle", "INPUT"), ("filter", "INPUT"), ("mangle", "FORWARD"), ("filter", "FORWARD")),
)
_OUTPUT_HOOKS: Final = tuple((table, "OUTPUT") for table in ("raw", "mangle", "nat", "filter"))


def reachable_chains(ruleset: Ruleset, starts: tuple[tuple[str, str], ...]) -> frozenset[tuple[str, str]]:
    """Return the chains that can be reached from these, as (table, chain)."""
    found: set[tuple[str, str]] = set()
    waiting = [at for at in starts if ruleset.chain(*at)]
    while waiting:
        at = waiting.pop()
        if at in found:
            continue
        found.add(at)
        chain = ruleset.chain(*at)
        assert chain is not None
        targets = {rule.target.name for rule in chain.rules if rule.target}
        waiting += [(at[0], name) for name in targets if ruleset.chain(at[0], name)]
    return frozenset(found)


def _with_nonce(shot: Shot, number: int) -> Shot:
    """Return the shot with its number first in the nonce, because SCTP has room for four bytes."""
    return replace(shot, wire=replace(shot.wire, nonce=number.to_bytes(4, "big") + b"dfw!"))


def _find_arrival(arrival: Arrival, wire: Wire) -> tuple[str, str, int | None] | None:
    """Return where the packet arrived, or None if this is another packet."""
    packet = arrival.packet
    size, protocol, addresses = _header(packet)
    at = size + NONCE_AT.get(protocol, 0)
    nonce = wire.nonce[:4] if protocol == SCTP else wire.nonce
    if protocol != wire.protocol or packet[at : at + len(nonce)] != nonce:
        return None
    port = int.from_bytes(packet[size + 2 : size + 4], "big") if protocol in (TCP, UDP, SCTP) else None
    return arrival.place, addresses[1], port


def _find_answer(arrival: Arrival, wire: Wire) -> str:
    """Return the answer that rejects a packet, or "" if this is another packet."""
    packet = arrival.packet
    size, protocol, _ = _header(packet)
    if protocol == TCP and packet[size + 13] & 4 and wire.protocol == TCP:
        ports = (
            int.from_bytes(packet[size : size + 2], "big"),
            int.from_bytes(packet[size + 2 : size + 4], "big"),
        )
        return "tcp-reset" if ports[1] == wire.source_port else ""
    kind, names = _UNREACHABLE[wire.family]
    if (
        protocol == (ICMP if wire.family == 4 else ICMPV6)
        and packet[size] == kind
        and wire.nonce in packet[size:]
    ):
        return names.get(packet[size + 1], f"code {packet[size + 1]}")
    return ""


def _header(packet: bytes) -> tuple[int, int, tuple[str, str]]:
    """Return the size of the IP header, the protocol and the addresses."""
    if packet[0] >> 4 == 4:
        size = (packet[0] & 15) * 4
        pair = (packet[12:16], packet[16:20])
        return size, packet[9], (str(ipaddress.IPv4Address(pair[0])), str(ipaddress.IPv4Address(pair[1])))
    pair = (packet[8:24], packet[24:40])
    return 40, packet[6], (str(ipaddress.IPv6Address(pair[0])), str(ipaddress.IPv6Address(pair[1])))
