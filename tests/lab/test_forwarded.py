"""Forwarded traffic that is no container's: a virtual machine, a port forward, and a routed network.

    client -- ens33, Docker host -- virbr0 (192.168.122.1, 2001:db8:122::1) -- vm   192.168.122.10
                                 -- lan0   (10.1.0.1, 2001:db8:a::1) -- router 10.1.0.2 -- 10.9.0.5

Real packets, with rules of others as libvirt writes them. Before the first load they pass and the review
names them, after it they are refused, and a rule for forwarded traffic lets them pass again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from dockerfw.chains.render import render_restore
from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import parse_document
from dockerfw.host.observation import observe
from dockerfw.iptables.replay import parse_restore
from dockerfw.messages.snapshot_values import (
    container_families_of,
    forwarded_connections,
    listening_of,
    surroundings_of,
)
from dockerfw.reach.changes import exposure_changes
from dockerfw.reach.forwarded import find_destinations
from dockerfw.reach.forwarded_reach import destination_changes, expose_destinations
from dockerfw.reach.offers import find_offers
from dockerfw.simulation.simulate import prepare
from tests.rig.connections import Verdict, connect, listening, ping, try_port
from tests.rig.lab import EXTERNAL, HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, Family, Namespace, iptables_program, join_namespaces, wait_until

pytestmark = pytest.mark.lab

VM, VM_6 = "192.168.122.10", "2001:db8:122::10"
ROUTED, ROUTED_6 = "10.9.0.5", "2001:db8:b::5"
CUT = "is no longer reachable from anywhere"
OTHERS = (
    "-A FORWARD -d 192.168.122.0/24 -o virbr0 -j ACCEPT",
    "-A FORWARD -o lan0 -p tcp -m tcp --dport 443 -j ACCEPT",
)
OTHERS_6 = (
    "-A FORWARD -d 2001:db8:122::/64 -o virbr0 -j ACCEPT",
    "-A FORWARD -d 2001:db8:b::/64 -p tcp -m tcp --dport 443 -j ACCEPT",
)
REPLIES = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


class Behind:
    """A lab with two machines behind its host, and rules of others that let packets reach them."""

    def __init__(self, lab: Lab, families: tuple[Family, ...]) -> None:
        self.lab, self.families = lab, families
        self.host, self.client = lab.host, lab.client
        self.vm, self.router = Namespace("vm"), Namespace("router")

    def build(self) -> None:
        """Wire everything up."""
        self.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv4.icmp_ratelimit=0")
        self.host.run("sysctl", "-qw", "net.ipv6.icmp.ratelimit=0")
        self.host.run("ip", "link", "add", "virbr0", "type", "bridge")
        self.host.run("ip", "link", "set", "virbr0", "up")
        join_namespaces(self.host, "vnet0", self.vm, "eth0")
        self.host.run("ip", "link", "set", "vnet0", "master", "virbr0")
        join_namespaces(self.host, "lan0", self.router, "eth0")
        self.host.add_addresses("virbr0", "192.168.122.1/24", "2001:db8:122::1/64")
        self.host.add_addresses("lan0", "10.1.0.1/24", "2001:db8:a::1/64")
        self.vm.add_addresses("eth0", f"{VM}/24", f"{VM_6}/64")
        self.router.add_addresses("eth0", "10.1.0.2/24", "2001:db8:a::2/64")
        self.router.run("ip", "link", "set", "lo", "up")
        self.router.add_addresses("lo", f"{ROUTED}/32", f"{ROUTED_6}/128")
        for machine, four, six in (
            (self.vm, "192.168.122.1", "2001:db8:122::1"),
            (self.router, "10.1.0.1", "2001:db8:a::1"),
        ):
            machine.run("ip", "route", "add", "default", "via", four)
            machine.run("ip", "-6", "route", "add", "default", "via", six)
        self.host.run("ip", "route", "add", "10.9.0.0/16", "via", "10.1.0.2")
        self.host.run("ip", "-6", "route", "add", "2001:db8:b::/64", "via", "2001:db8:a::2")
        for network in ("2001:db8:122::/64", "2001:db8:b::/64"):
            self.client.run("ip", "-6", "route", "replace", network, "via", HOST_6)
        self.add_rules()
        for address in (VM, VM_6, "10.1.0.2", "2001:db8:a::2"):
            wait_until(f"{address} answers", partial(ping, self.host, address))

    def add_rules(self) -> None:
        """Add the rules of others, which stay."""
        for family in self.families:
            forward = HOST_6 if family == 6 else HOST
            to = f"[{VM_6}]:22" if family == 6 else f"{VM}:22"
            for line in (*(OTHERS_6 if family == 6 else OTHERS), REPLIES):
                self.iptables(family, *line.split())
            words = f"-t nat -A PREROUTING -d {forward} -p tcp --dport 2222 -j DNAT --to-destination {to}"
            self.iptables(family, *words.split())

    def iptables(self, family: Family, *words: str) -> None:
        self.host.iptables(*words, backend=self.lab.docker.backend, family=family)

    def delete(self) -> None:
        """Take everything away again."""
        self.unload()
        for family in self.families:
            forward, to = (HOST_6, f"[{VM_6}]:22") if family == 6 else (HOST, f"{VM}:22")
            for line in (*(OTHERS_6 if family == 6 else OTHERS), REPLIES):
                self.iptables(family, "-D", *line.split()[1:])
            words = f"-t nat -D PREROUTING -d {forward} -p tcp --dport 2222 -j DNAT --to-destination {to}"
            self.iptables(family, *words.split())
        for name in ("virbr0", "lan0", "vnet0"):
            self.host.run("ip", "link", "delete", name, check=False)
        self.vm.delete()
        self.router.delete()

    def unload(self) -> None:
        """Take dockerfw's rules away, its own jump in FORWARD too."""
        program = iptables_program(self.lab.docker.backend, 6)
        jump = f"-w -D FORWARD -i {EXTERNAL} -j FILTERS-CONTAINERS"
        self.host.run(program, *jump.split(), check=False)
        self.lab.unload()

    def reach(self, family: Family) -> dict[str, Verdict]:
        """Tell what becomes of a connection to the VM, to its forwarded port, and to the routed network."""
        vm, routed, host = (VM_6, ROUTED_6, HOST_6) if family == 6 else (VM, ROUTED, HOST)
        with ExitStack() as stack:
            stack.enter_context(listening(self.vm, vm, 22))
            stack.enter_context(listening(self.vm, vm, 5000))
            stack.enter_context(listening(self.router, routed, 443))
            return {
                "vm": try_port(self.client, vm, 5000),
                "forward": try_port(self.client, host, 2222),
                "routed": try_port(self.client, routed, 443),
            }

    def effect(self, new: dict[str, object]) -> list[str]:
        """Return what the review says of forwarded traffic for a load over what the kernel holds."""
        with self.host.entered():
            seen = observe("lab")
        live, wanted, around = self.lab.live(), parse_document(new), surroundings_of(seen)
        containers = container_families_of(seen, live, wanted.settings)
        old, after = {}, {}
        for family in self.families:
            load = render_restore(wanted, family, live=live[family], containers=family in containers)
            old[family] = prepare(live[family], around, family)
            later = parse_restore(f"{seen.saves[family].rstrip()}\n{load}", family=family)
            after[family] = prepare(later, around, family)
        outside, listened = outside_interfaces(wanted.settings, around), listening_of(seen, live)
        connections, documents = forwarded_connections(seen, outside), (None, wanted)
        behind = find_destinations(old, documents, listened.containers, connections, [EXTERNAL])
        changes = (
            *exposure_changes(find_offers(listened), documents, old, after, outside, sockets_known=True),
            *destination_changes(behind, documents, old, after, outside),
        )
        return [str(each) for each in changes if " forwarded to " in str(each)]

    def exposed(self, loaded: dict[str, object]) -> dict[str, list[tuple[str, str]]]:
        """Return what the exposure says of each destination behind the host: what, and the level."""
        with self.host.entered():
            seen = observe("lab")
        live, document, around = self.lab.live(), parse_document(loaded), surroundings_of(seen)
        rules = {family: prepare(live[family], around, family) for family in self.families}
        outside = outside_interfaces(document.settings, around)
        behind = find_destinations(rules, (document,), listening_of(seen, live).containers, (), [EXTERNAL])
        found: dict[str, list[tuple[str, str]]] = {}
        for row in expose_destinations(behind, (document,), rules, outside):
            found.setdefault(row.destination.text, []).append((row.what, row.level))
        return found


def _build(lab: Lab, families: tuple[Family, ...]) -> Iterator[Behind]:
    world = Behind(lab, families)
    try:
        world.unload()
        world.build()
        yield world
    finally:
        world.delete()


@pytest.fixture
def behind(ipv6_lab: Lab) -> Iterator[Behind]:
    """Machines behind a host whose engine filters both families."""
    yield from _build(ipv6_lab, FAMILIES)


@pytest.fixture
def legacy_behind(legacy_lab: Lab) -> Iterator[Behind]:
    """The same with the legacy backend."""
    yield from _build(legacy_lab, (4,))


PASS = {"vm": "connected", "forward": "connected", "routed": "connected"}
REFUSED = dict.fromkeys(PASS, "prohibited")
OPEN: tuple[dict[str, object], ...] = (
    {"scope": "forwarded", "to": "192.168.122.0/24"},
    {**allow("forwarded", 443), "to": "10.9.0.0/16"},
    {"scope": "forwarded", "to": "2001:db8:122::/64"},
    {**allow("forwarded", 443), "to": "2001:db8:b::/64"},
)


def firewall(*rules: dict[str, object]) -> dict[str, object]:
    """Make a document that says that lan0, which has a public address, does not lead outside."""
    return document(*rules, trusted_interfaces=["lo", "lan0"])


def test_the_review_names_what_the_first_load_cuts(behind: Behind) -> None:
    for family in FAMILIES:
        assert behind.reach(family) == PASS
    wanted = firewall(allow("container", 8080))
    said = behind.effect(wanted)
    assert f"2222/tcp at {HOST} forwarded to {VM}:22 {CUT}" in said
    # A rule for containers allows its port for all forwarded traffic.
    assert f"Everything else forwarded to 192.168.122.0/24 (behind virbr0) {CUT}" in said
    assert f"443/tcp forwarded to 10.9.0.0/16 (behind lan0) {CUT}" in said
    for network, interface in (("2001:db8:122::/64", "virbr0"), ("2001:db8:b::/64", "lan0")):
        assert any(f"forwarded to {network} (behind {interface})" in each and CUT in each for each in said)
    behind.lab.load_unseen(wanted)
    for family in FAMILIES:
        assert behind.reach(family) == REFUSED
    assert behind.exposed(wanted)["192.168.122.0/24"] == [("8080/tcp", "anywhere")]
    with listening(behind.vm, VM, 8080):
        assert try_port(behind.client, VM, 8080) == "connected"
    behind.lab.load_unseen(firewall(), revision=2)
    assert behind.exposed(firewall())["192.168.122.0/24"] == [("everything", "nobody")]


def test_rules_for_forwarded_traffic_let_it_pass(behind: Behind) -> None:
    wanted = firewall(*OPEN)
    assert behind.effect(wanted) == [f"443/tcp forwarded to 10.1.0.0/24 (behind lan0) {CUT}"]
    behind.lab.load_unseen(wanted)
    for family in FAMILIES:
        assert behind.reach(family) == PASS
        # Containers and other machines stay closed.
        host, other = (HOST_6, "2001:db8:a::2") if family == 6 else (HOST, "10.1.0.2")
        assert try_port(behind.client, host, 8080) == "prohibited"
        with listening(behind.router, other, 443):
            behind.client.run("ip", f"-{family}", "route", "replace", other, "via", host)
            assert try_port(behind.client, other, 443) == "prohibited"
    assert ping(behind.client, VM)
    assert behind.exposed(wanted)["192.168.122.0/24"] == [("everything", "anywhere")]
    assert ("443/tcp", "anywhere") in behind.exposed(wanted)["10.9.0.0/16"]
    assert not behind.lab.plan().families[4].added


def test_a_rule_counts_the_dialled_port_or_the_one_at_the_destination(behind: Behind) -> None:
    rule = {**allow("forwarded", 2222), "to": VM}
    behind.lab.load_unseen(firewall(rule))
    assert behind.reach(4) == {**REFUSED, "forward": "connected"}
    behind.lab.load_unseen(firewall({**rule, "ports": ["22"], "port_kind": "container"}), revision=2)
    assert behind.reach(4) == {**REFUSED, "forward": "connected"}
    with listening(behind.vm, VM, 22):
        assert try_port(behind.client, VM, 22) == "connected"
    behind.lab.load_unseen(firewall({**rule, "ports": ["22"]}), revision=3)
    assert behind.reach(4) == REFUSED


def test_an_open_connection_names_its_destination(behind: Behind) -> None:
    # Nothing but the connection tells of this address: the rule of others names no destination.
    behind.router.add_addresses("lo", "172.31.9.9/32")
    behind.host.run("ip", "route", "add", "172.31.9.9/32", "via", "10.1.0.2")
    behind.iptables(4, "-A", "FORWARD", "-p", "tcp", "--dport", "9999", "-j", "ACCEPT")
    try:
        with listening(behind.router, "172.31.9.9", 9999), connect(behind.client, "172.31.9.9", 9999):
            said = behind.effect(firewall())
        expected = f"443/tcp and 9999/tcp forwarded to 172.31.9.9 (behind lan0) {CUT}".replace(
            " is ", " are "
        )
        assert expected in said
    finally:
        behind.iptables(4, "-D", "FORWARD", "-p", "tcp", "--dport", "9999", "-j", "ACCEPT")


def test_the_legacy_backend(legacy_behind: Behind) -> None:
    behind = legacy_behind
    assert behind.reach(4) == PASS
    said = behind.effect(firewall())
    assert f"Everything forwarded to 192.168.122.0/24 (behind virbr0) {CUT}" in said
    assert f"2222/tcp at {HOST} forwarded to {VM}:22 {CUT}" in said
    behind.lab.load_unseen(firewall())
    assert behind.reach(4) == REFUSED
    behind.lab.load_unseen(firewall(*OPEN), revision=2)
    assert behind.reach(4) == PASS
