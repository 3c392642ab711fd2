"""The world that packets cross: a host with a real Docker engine, two networks outside, and containers.

    left  198.51.100.0/24, 2001:db8:1::/64 -- ens33 |      | docker0             web, other, plain
    (and all others, by the default route)          | host | br-5d0c0ffee123     shop, vault
    right 203.0.113.0/24, 2001:db8:2::/64  -- ens34 |

Every name and address is the same in every run, so that a seed repeats a run. Taps send and see the packets.
Only the host answers, resolves addresses or looks for routers.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import listening_of
from dockerfw.reach.listening import Listening
from tests.differential.connections import Connections
from tests.differential.sentinels import Sentinels
from tests.differential.taps import Arrival, LocalSender, Tap
from tests.rig.docker_host import DockerHost
from tests.rig.namespace import (
    FAMILIES,
    PATIENCE,
    Backend,
    Family,
    Namespace,
    entering,
    iptables_program,
    join_namespaces,
    wait_until,
)

BRIDGE: Final = "br-5d0c0ffee123"
LEFT: Final = "ens33"
RIGHT: Final = "ens34"
# In a wider network, older engines derive addresses from hardware addresses and later ones count.
ENGINE_OPTIONS: Final = ("--ipv6", "--fixed-cidr-v6=2001:db8:d0c::/112", "--experimental", "--ip6tables")

HOST_ADDRESSES: Final[dict[Family, tuple[str, ...]]] = {
    4: ("198.51.100.1", "198.51.100.9", "203.0.113.1", "172.17.0.1", "172.30.0.1"),
    6: ("2001:db8:1::1", "2001:db8:1::9", "2001:db8:2::1", "2001:db8:d0c::1", "2001:db8:d0d::1"),
}
CONTAINER_ADDRESSES: Final[dict[Family, tuple[str, ...]]] = {
    4: ("172.17.0.2", "172.17.0.3", "172.17.0.4", "172.30.0.2", "172.30.0.3"),
    6: ("2001:db8:d0c::2", "2001:db8:d0c::3", "2001:db8:d0c::4", "2001:db8:d0d::2", "2001:db8:d0d::3"),
}
CONTAINERS: Final = ("web", "other", "plain", "shop", "vault")
"""In the order of their addresses."""

_OUTSIDE: Final = (
    # name, the host's interface, the host's addresses, hardware addresses outside and inside
    ("left", LEFT, ("198.51.100.1/24", "198.51.100.9/24", "2001:db8:1::1/64", "2001:db8:1::9/64"), "01"),
    ("right", RIGHT, ("203.0.113.1/24", "2001:db8:2::1/64"), "02"),
)
_GATEWAYS: Final[dict[Family, str]] = {4: "198.51.100.254", 6: "2001:db8:1::fe"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a packet can come from: the tap's name, the host's interface there, and its hardware address."""

    name: str
    interface: str
    mac: str


class World:
    """The host, what is around it, and the taps."""

    def __init__(self, backend: Backend = "nft", tree: Path | None = None) -> None:
        """Build the world in about three seconds; with `tree`, its engine is the one in that tree."""
        self.backend: Backend = backend
        self.taps: dict[str, Tap] = {}
        self._own_sets: set[str] = set()
        self._outside: list[Namespace] = []
        self.engine = DockerHost(backend, ENGINE_OPTIONS, tree)
        self.host = self.engine.namespace
        try:
            self._join_outside()
            self._wait_for_addresses("dev", LEFT)
            self._start_containers()
            self._settle()
            self.local = LocalSender(self.host.path)
            self.connections = Connections(self.host.path)
            self.sentinels = Sentinels(self.host)
            self.baseline = {family: self.host.save(backend, family).decode() for family in FAMILIES}
            """The chains of the engine, before any test changes them."""
            self.listening = self._look()
            """The containers, as Docker tells them, and the sockets of docker-proxy."""
        except BaseException:
            self.delete()
            raise

    def _join_outside(self) -> None:
        for name, interface, addresses, number in _OUTSIDE:
            outside = Namespace(name)
            self._outside.append(outside)
            join_namespaces(self.host, interface, outside, "eth0")
            outside.run("ip", "link", "set", "eth0", "address", f"02:00:00:00:{number}:02")
            self.host.run("ip", "link", "set", interface, "address", f"02:00:00:00:{number}:01")
            # Without ARP the host sends to any address at once, even if no host has it.
            self.host.run("ip", "link", "set", interface, "arp", "off")
            self.host.add_addresses(interface, *addresses)
            _drop_incoming(outside.path)
            self.taps[name] = Tap(name, outside.path, "eth0")
        for family, gateway in _GATEWAYS.items():
            self.host.run("ip", f"-{family}", "route", "add", "default", "via", gateway, "dev", LEFT)

    def _start_containers(self) -> None:
        engine = self.engine
        subnets = ("--subnet=172.30.0.0/16", "--subnet=2001:db8:d0d::/64")
        name = f"com.docker.network.bridge.name={BRIDGE}"
        engine.docker("network", "create", "--ipv6", *subnets, "--opt", name, "shop")
        front = "--label=tier=front"
        # Two ports lead to the same one inside, and a port leads to two containers by the host's address.
        engine.run_web("web", "--publish=8080:80", "--publish=8443:80", front)
        ports = ("--publish=8081:80", "--publish=5353:53/udp", "--publish=203.0.113.1:8082:80")
        engine.run_web("other", *ports, *_compose("mail", "relay"))
        engine.run_web("plain", port=81)
        addressed = ("198.51.100.1:8082:80", "127.0.0.1:8083:81", "[2001:db8:1::1]:8084:81")
        published = [f"--publish={each}" for each in (*addressed, "9100-9102:9100-9102")]
        engine.run_web("shop", *published, front, *_compose("store", "web"), network="shop")
        labels = ("--label=tier=back", *_compose("store", "db"))
        engine.run_web("vault", *labels, network="shop", port=5432)
        for index, container in enumerate(CONTAINERS):
            self._tap_container(container, index)

    def _tap_container(self, name: str, index: int) -> None:
        inside = self.engine.container_namespace(name)
        _drop_incoming(inside)
        self.taps[name] = tap = Tap(name, inside, "eth0")
        with entering(inside):
            shown = subprocess.check_output(["ip", "-o", "link", "show", "eth0"], text=True, timeout=PATIENCE)
        peer = re.search(r"eth0@if(\d+):", shown)
        assert peer, shown
        veth = re.search(rf"^{peer[1]}: (\w+)@", self.host.output("ip", "-o", "link"), re.MULTILINE)
        assert veth, f"{name} has no end on the host"
        self.host.run("ip", "link", "set", veth[1], "name", f"veth{name}")
        bridge = self.interface_of(name)
        for family in FAMILIES:
            words = (CONTAINER_ADDRESSES[family][index], "lladdr", tap.mac, "dev", bridge, "nud", "permanent")
            self.host.run("ip", "neigh", "replace", *words)

    def _settle(self) -> None:
        """Configure the host to answer without a rate limit, to forward, and to send nothing on its own."""
        settings = ["net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000"]
        settings += ["net.ipv4.icmp_msgs_burst=100000", "net.ipv6.icmp.ratelimit=0"]
        settings += ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
        for interface in ("all", "default", LEFT, RIGHT, "docker0", BRIDGE):
            settings += [f"net.ipv4.conf.{interface}.rp_filter=0"]
        # Kernels before 6.12 have no limits for each namespace.
        self.host.run("sysctl", "-q", "-e", "-w", *settings)
        for bridge in ("docker0", BRIDGE):
            self.host.run("ip", "link", "set", bridge, "type", "bridge", "mcast_snooping", "0")
        self._wait_for_addresses()

    def _wait_for_addresses(self, *which: str) -> None:
        """Wait until the kernel uses IPv6 addresses and docker-proxy can listen on them."""
        tentative = ("ip", "-6", "address", "show", *which, "tentative")
        wait_until("IPv6 addresses of the host", lambda: not self.host.output(*tentative).strip())

    def _look(self) -> Listening:
        with self.engine.entered():
            snapshot = observe("differential", docker_socket=self.engine.directory / "docker.sock")
        assert not snapshot.errors, snapshot.errors
        return listening_of(snapshot, {family: parse_save(snapshot.saves[family]) for family in FAMILIES})

    def places(self) -> tuple[Place, ...]:
        """Return the places that packets can come from."""
        return tuple(Place(name, self.interface_of(name), tap.mac) for name, tap in self.taps.items())

    def interface_of(self, place: str) -> str:
        """Return the host's interface towards a place."""
        outside = {name: interface for name, interface, _, _ in _OUTSIDE}
        if place in outside:
            return outside[place]
        return BRIDGE if place in ("shop", "vault") else "docker0"

    def mac_of(self, interface: str) -> str:
        """Return the hardware address of one of the host's interfaces."""
        shown = self.host.output("ip", "-o", "link", "show", interface)
        return shown.split("link/ether ")[1].split()[0]

    def arrivals(self) -> list[Arrival]:
        """Return the frames that all taps saw since the last call."""
        return [arrival for tap in self.taps.values() for arrival in tap.arrivals()]

    def save(self, family: Family) -> str:
        """Return `iptables-save -c` of the host."""
        # No process in between enters the namespace, because this takes most of the time.
        with entering(self.host.path):
            command = [iptables_program(self.backend, family, "save"), "-c"]
            done = subprocess.run(
                command, capture_output=True, timeout=PATIENCE, check=True, env=self.host.environment
            )
        return done.stdout.decode("utf-8", "surrogateescape")

    def load_sets(self, names: Iterable[str], filling: str) -> None:
        """Create and fill the sets that the rules which are loaded next match, by the input for `ipset`."""
        if filling:
            self.host.run("ipset", "-exist", "restore", stdin=filling)
        self._own_sets |= set(names)

    def destroy_sets_except(self, names: Iterable[str]) -> None:
        """Destroy the sets of former rules."""
        gone = self._own_sets - set(names)
        if gone:
            self.host.run("ipset", "restore", stdin="".join(f"destroy {name}\n" for name in sorted(gone)))
        self._own_sets -= gone

    def delete(self) -> None:
        """Delete the world."""
        for tap in self.taps.values():
            tap.close()
        for sockets in ("local", "connections", "sentinels"):
            if hasattr(self, sockets):
                getattr(self, sockets).close()
        for outside in self._outside:
            outside.delete()
        self.engine.delete()


def _compose(project: str, service: str) -> tuple[str, str]:
    """Return the options that make a container one of Compose's."""
    label = "--label=com.docker.compose"
    return f"{label}.project={project}", f"{label}.service={service}"


def _drop_incoming(namespace: str) -> None:
    """Make the kernel of a namespace drop all incoming packets; its taps see them before that."""
    rules = "*raw\n-A PREROUTING -j DROP\nCOMMIT\n"
    with entering(namespace):
        for program in ("iptables-nft-restore", "ip6tables-nft-restore"):
            subprocess.run([program], input=rules, text=True, timeout=PATIENCE, check=True)
