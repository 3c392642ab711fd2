"""Multicast, broadcast and IGMP with real packets: who gets them, and what the plan and the simulator say."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from dockerfw.chains.plan import plan_changes
from dockerfw.document.values import Document
from dockerfw.host.observation import observe
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import surroundings_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import prepare, simulate
from tests.kernel.test_roundtrip import apply
from tests.rig.documents import document
from tests.rig.namespace import Backend, Namespace, join_namespaces, wait_until

pytestmark = pytest.mark.kernel

HOST, CLIENT = "192.0.2.1", "192.0.2.2"
HOST_6, CLIENT_6 = "2001:db8::1", "2001:db8::2"
JOINED, STRANGE, JOINED_6 = "239.192.0.7", "239.192.0.8", "ff15::7"
PORT = 5000
IGMP_RULE = {"scope": "host", "protocol": "igmp"}
UDP = {"protocol": "udp", "ports": [str(PORT)]}
_QUERY, _REPORT = 0x11, 0x16
_ROUTER_ALERT = b"\x94\x04\x00\x00"


@pytest.fixture
def wire(namespace: Namespace) -> Iterator[Namespace]:
    """The client of a host with a second network, in which nothing else is."""
    with Namespace("client") as client:
        join_namespaces(namespace, "ens33", client, "eth0")
        namespace.add_addresses("ens33", f"{HOST}/24", f"{HOST_6}/64")
        client.add_addresses("eth0", f"{CLIENT}/24", f"{CLIENT_6}/64")
        namespace.run("ip", "link", "add", "ens34", "type", "veth", "peer", "name", "ens34p")
        for name in ("ens34", "ens34p"):
            namespace.run("ip", "link", "set", name, "up")
        namespace.add_addresses("ens34", "198.51.100.1/24")
        client.run("ip", "route", "add", "default", "via", HOST)
        yield client


@contextlib.contextmanager
def member(host: Namespace, family: Family = 4) -> Iterator[socket.socket]:
    """Open a UDP socket on the host that is in the group, and takes broadcast packets too."""
    with host.entered():
        found = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        number = socket.if_nametoindex("ens33")
    with found:
        found.bind(("", PORT))
        if family == 4:
            request = socket.inet_aton(JOINED) + socket.inet_aton(HOST)
            found.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            wanted = socket.inet_pton(socket.AF_INET6, JOINED_6) + struct.pack("@I", number)
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, wanted)
        found.settimeout(0.4)
        yield found


def delivers(found: socket.socket, client: Namespace, address: str) -> bool:
    """Send a packet to an address and return True if the socket gets it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with client.entered():
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        with client.entered():
            number = socket.if_nametoindex("eth0")
        if family == socket.AF_INET6:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, number)
        sender.sendto(address.encode(), (address, PORT))
        with contextlib.suppress(TimeoutError):
            while found.recvfrom(100)[0] != address.encode():
                pass
            return True
    return False


def look(host: Namespace) -> Snapshot:
    with host.entered():
        return observe("local")


def verdict(seen: Snapshot, address: str) -> str:
    destination = ip_address(address)
    family: Family = 4 if destination.version == 4 else 6
    source = ip_address(CLIENT if family == 4 else CLIENT_6)
    packet = Packet(family, source, destination, 17, "ens33", source_port=40000, destination_port=PORT)
    rules = parse_save(seen.saves[family])
    return simulate(prepare(rules, surroundings_of(seen), family), packet).verdict.kind


RULES: dict[str, Document | None] = {
    "none": None,
    "nothing": document(),
    "host": document({"scope": "host", **UDP}),
    "both": document({"scope": "both", **UDP}),
    "containers": document({"scope": "container", **UDP}),
}
PLACES = (HOST, "255.255.255.255", "192.0.2.255", "198.51.100.255", JOINED)


@pytest.mark.parametrize("rules", RULES)
def test_who_gets_packets_for_several_hosts(
    namespace: Namespace, wire: Namespace, backend: Backend, rules: str
) -> None:
    wanted = RULES[rules]
    if wanted is not None:
        apply(namespace, backend, wanted)
    with member(namespace) as four:
        real = {address: delivers(four, wire, address) for address in (*PLACES, STRANGE)}
        seen = look(namespace)
        assert ("ens33", (JOINED,)) in [(each.name, each.groups) for each in seen.interfaces]
        said = {address: verdict(seen, address) == "ACCEPT" for address in PLACES}
        assert said == {address: real[address] for address in PLACES}
        assert set(said.values()) == {rules in ("none", "host", "both")}
        # The host is not in this group, and a program may join it at any time.
        assert not real[STRANGE]
        assert verdict(seen, STRANGE) in ("UNKNOWN", "DROP", "REJECT")
        assert (verdict(seen, STRANGE) == "UNKNOWN") == said[JOINED]
    with member(namespace, 6) as six:
        # A rule for containers lets packets in that docker-proxy takes, and this is another program.
        passes = rules in ("none", "host", "both")
        wait_until("addresses", lambda: delivers(six, wire, HOST_6) or not passes)
        assert delivers(six, wire, JOINED_6) == passes
        seen = look(namespace)
        assert ("ens33", (JOINED_6,)) in [(each.name, each.groups) for each in seen.interfaces]
        assert (verdict(seen, JOINED_6) == "ACCEPT") == passes


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def reported_groups(client: Namespace) -> set[str]:
    """Ask as a switch or router does which groups there are, and return those that the host reports."""
    with client.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        asker = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    found: set[str] = set()
    with tap, asker:
        tap.bind(("eth0", 0x0800))
        tap.settimeout(0.2)
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, _ROUTER_ALERT)
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        asker.bind((CLIENT, 0))
        # A general query of IGMPv2; hosts answer within a second.
        empty = struct.pack("!BBH4s", _QUERY, 10, 0, bytes(4))
        asker.sendto(struct.pack("!BBH4s", _QUERY, 10, checksum(empty), bytes(4)), ("224.0.0.1", 0))
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                packet, place = tap.recvfrom(2000)
                body = packet[(packet[0] & 15) * 4 :]
                if (
                    packet[9] == socket.IPPROTO_IGMP
                    and body[0] == _REPORT
                    and place[2] != socket.PACKET_OUTGOING
                ):
                    found.add(socket.inet_ntoa(body[4:8]))
    return found


@pytest.mark.parametrize("allowed", [False, True])
def test_a_host_that_refuses_igmp_is_forgotten_and_the_plan_says_so(
    namespace: Namespace, wire: Namespace, backend: Backend, allowed: bool
) -> None:
    wanted = document(*([IGMP_RULE] if allowed else []))
    with member(namespace):
        assert reported_groups(wire) == {JOINED}
        seen = look(namespace)
        rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
        plan = plan_changes(wanted, rulesets, surroundings=surroundings_of(seen))
        assert ("igmp-refused" in [each.code for each in plan.warnings]) == (not allowed)
        apply(namespace, backend, wanted)
        assert reported_groups(wire) == ({JOINED} if allowed else set())
