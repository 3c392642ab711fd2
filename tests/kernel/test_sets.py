"""Sets of networks: the kernel's own answer for an address, beside the simulator's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random

import pytest

from dockerfw.iptables.parse import parse_save
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.set_members import ids_of, member_addresses
from dockerfw.simulation.simulate import prepare, simulate
from dockerfw.simulation.surroundings import IpSet, Surroundings
from tests.rig.namespace import Family, Namespace

pytestmark = pytest.mark.kernel

MEMBERS = ("10.0.0.0/8,docker0", "10.1.0.0/16,br-1", "10.1.2.0/24,docker0", "10.1.2.0/24,br-2")
SAVE = """*filter
:INPUT DROP [0:0]
-A INPUT -m set --match-set nested src,src -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize("interface", ["docker0", "br-1", "br-2", "ens33"])
@pytest.mark.parametrize("source", ["10.9.0.1", "10.1.9.1", "10.1.2.1", "192.0.2.1"])
def test_the_smallest_network_with_the_address_decides(
    namespace: Namespace, source: str, interface: str
) -> None:
    lines = ["create nested hash:net,iface family inet", *(f"add nested {member}" for member in MEMBERS)]
    namespace.run("ipset", "restore", stdin="\n".join([*lines, ""]))
    inside = namespace.run("ipset", "test", "nested", f"{source},{interface}", check=False).returncode == 0
    found = IpSet("nested", "hash:net,iface", MEMBERS, "family inet")
    prepared = prepare(parse_save(SAVE), Surroundings(sets={"nested": found}), 4)
    packet = Packet(4, ip_address(source), ip_address("127.0.0.1"), 6, interface, 40_000, 80)
    assert (simulate(prepared, packet).verdict.passes is True) == inside


BLOCKS: dict[Family, str] = {4: "203.0.112.0/20", 6: "::ffff:10.1.0.0/112"}
_ASKED = 60


@pytest.mark.parametrize("excluded", [0.0, 0.3])
def test_networks_inside_networks_with_counters_and_comments(
    namespace: Namespace, family: Family, excluded: float
) -> None:
    """The kernel's own save is read, and the kernel names the rules of an address by its counters."""
    dice = Random(f"{family} {excluded}")
    block = ip_network(BLOCKS[family])
    kind = IPv4Address if family == 4 else IPv6Address
    first, size = int(block.network_address), block.num_addresses
    lines = [f"create nested hash:net family inet{'6' if family == 6 else ''} counters comment maxelem 4096"]
    for number in range(200):
        length = dice.randint(block.prefixlen + 4, block.max_prefixlen)
        network = ip_network((first + dice.randrange(size), length), strict=False)
        ending = " nomatch" if dice.random() < excluded else ""
        lines.append(f'add nested {network}{ending} comment "r{number} nomatch"')
    namespace.run("ipset", "-exist", "restore", stdin="\n".join([*lines, ""]))
    found = read_set(namespace)
    inside = member_addresses(found, family)
    assert inside is not None
    sources = [kind(first + dice.randrange(size)) for _ in range(_ASKED)]
    tests = "".join(f"test nested {source}\n" for source in sources)
    asked = namespace.run(
        "sh", "-c", "while read -r _ set it; do ipset -q test $set $it; echo $?; done", stdin=tests
    )
    answers = [line == "0" for line in asked.stdout.decode().split()]
    assert [source in inside for source in sources] == answers
    assert {True, False} == set(answers)
    assert [bool(ids_of(found, source)) for source in sources] == answers


def read_set(namespace: Namespace) -> IpSet:
    """Return the set as the root worker reads it."""
    create, *members = namespace.output("ipset", "save", "nested").splitlines()
    _, name, kind, options = create.split(" ", 3)
    return IpSet(name, kind, tuple(each.removeprefix(f"add {name} ") for each in members), options)


def test_the_ids_are_those_on_the_member_that_counts_the_packet(namespace: Namespace, family: Family) -> None:
    loopback, wide = ("127.0.0.1", "127.0.0.0/30") if family == 4 else ("::1", "::/120")
    program = "iptables-nft-restore" if family == 4 else "ip6tables-nft-restore"
    lines = [
        f"create nested hash:net family inet{'6' if family == 6 else ''} counters comment",
        f'add nested {wide} comment "aaaa bbbb"',
        f'add nested {loopback} comment "k3f9 a1c2"',
    ]
    namespace.run("ipset", "restore", stdin="\n".join([*lines, ""]))
    save = SAVE.replace("src,src", "src").replace("DROP", "ACCEPT").replace("-m set", "-p udp -m set")
    namespace.run(program, stdin=save)
    send = f"import socket; socket.socket(socket.AF_INET{'6' if family == 6 else ''}, socket.SOCK_DGRAM)"
    namespace.run("python3", "-c", f"{send}.sendto(b'x', ('{loopback}', 9))")
    found = read_set(namespace)
    counted = [member for member in found.members or () if " packets 1 " in member]
    assert [member.split('"')[1] for member in counted] == ["k3f9 a1c2"]
    assert ids_of(found, ip_address(loopback)) == ("k3f9", "a1c2")
