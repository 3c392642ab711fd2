"""A host for simulation tests: an uplink, Docker's bridge with a port, and an uplink that is down."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

from dockerfw.iptables.model import Family
from dockerfw.iptables.replay import parse_restore
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import Prepared, prepare, simulate
from dockerfw.simulation.surroundings import HostInterface, IpSet, Surroundings
from dockerfw.simulation.trace import Trace

TCP, UDP, ICMP, ICMPV6, SCTP, GRE = 6, 17, 1, 58, 132, 47


def interface(
    name: str, *addresses: str, up: bool = True, master: str | None = None, kind: str = ""
) -> HostInterface:
    """Make an interface."""
    return HostInterface(name, tuple(ip_interface(one) for one in addresses), up, master, kind)


SETS = (
    IpSet("addresses", "hash:ip", ("203.0.113.5", "203.0.113.6 timeout 30")),
    IpSet("networks", "hash:net", ("198.51.100.0/24", "198.51.100.128/25 nomatch", "198.51.100.200")),
    IpSet("ports", "hash:ip,port", ("203.0.113.5,tcp:22", "192.0.2.1,udp:53"), "family inet hashsize 1024"),
    IpSet("halves-by-port", "hash:net,port", ("0.0.0.0/1,tcp:22", "128.0.0.0/1,tcp:22"), "family inet"),
    IpSet("on-bridges", "hash:net,iface", ("203.0.113.0/24,eth0", "203.0.113.0/24,docker0"), "family inet"),
    IpSet("inside-others", "hash:net,iface", ("203.0.0.0/16,eth0", "203.0.113.0/24,docker0"), "family inet"),
    IpSet("of-bridge-ports", "hash:net,iface", ("203.0.113.0/24,physdev:eth0",), "family inet"),
    IpSet("numbers", "bitmap:port", ("22", "80 timeout 5"), "range 0-65535"),
    IpSet("halves", "hash:ip", ("198.51.100.0",), "family inet netmask 25"),
    IpSet("both", "list:set", ("addresses", "networks")),
    IpSet("addresses6", "hash:ip", ("2001:db8:9::5",), "family inet6"),
    IpSet("large", "hash:ip", None),
    IpSet("odd", "hash:ip", ("203.0.113.5",), "family inet bitmask 255.0.0.255"),
    IpSet("macs", "hash:mac", ("00:11:22:33:44:55",)),
    IpSet("of-macs", "list:set", ("addresses", "macs")),
)
HOST = Surroundings(
    interfaces=(
        interface("lo", "127.0.0.1/8", "::1/128"),
        interface("eth0", "192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"),
        interface("eth1", "10.9.0.1/16", up=False),
        interface("docker0", "172.17.0.1/16", "fd00:17::1/64", kind="bridge"),
        interface("veth1", master="docker0", kind="veth"),
    ),
    default_routes={4: ("eth0",), 6: ("eth0",)},
    sets={one.name: one for one in SETS},
)
FILTERED = replace(HOST, bridges_filtered={4: True, 6: True})
UNFILTERED = replace(HOST, bridges_filtered={4: False, 6: False})
CLIENT: dict[Family, str] = {4: "203.0.113.5", 6: "2001:db8:9::5"}
OWN: dict[Family, str] = {4: "192.0.2.1", 6: "2001:db8::1"}


def packet(family: Family = 4, **changes: object) -> Packet:
    """Make a SYN from a client to port 22 of the host; addresses may be texts."""
    given = {
        key: ip_address(value) if key in ("source", "destination") and isinstance(value, str) else value
        for key, value in changes.items()
    }
    syn = Packet(family, ip_address(CLIENT[family]), ip_address(OWN[family]), TCP, "eth0", 40000, 22)
    return replace(syn, **given)  # type: ignore[arg-type]


def prepared(rules: str, family: Family = 4, surroundings: Surroundings = HOST) -> Prepared:
    """Compile a restore file."""
    return prepare(parse_restore(rules, family=family), surroundings, family)


def trace(rules: str, family: Family = 4, *, surroundings: Surroundings = HOST, **changes: object) -> Trace:
    """Send a packet through a restore file."""
    return simulate(prepared(rules, family, surroundings), packet(family, **changes))


def filtered(*lines: str) -> str:
    """Return a filter table with these lines; the policies of INPUT, FORWARD and OUTPUT are ACCEPT."""
    return "\n".join(["*filter", *lines, "COMMIT", ""])


def verdict(rules: str, family: Family = 4, **changes: object) -> str:
    """Return the kind of the verdict for a packet."""
    return simulate(prepared(rules, family), packet(family, **changes)).verdict.kind
