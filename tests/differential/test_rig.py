"""The rig: it finds out what the kernel did if there is evidence, and never takes lost for dropped."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import pytest

from dockerfw.iptables.model import Ruleset
from tests.differential import evidence
from tests.differential.evidence import HOST, Range, RigError, RuleAt, Shot, read_counters
from tests.differential.frames import ICMP, ICMPV6, SCTP, TCP, UDP, Wire, checksum, crc32c
from tests.differential.world import BRIDGE, CONTAINER_ADDRESSES, World
from tests.rig.namespace import FAMILIES, Family

pytestmark = [pytest.mark.lab, pytest.mark.kernel]

RULES = {
    4: """*filter
-I INPUT 1 -p tcp -m tcp --dport 22 -j DROP
-I INPUT 2 -p tcp -m tcp --dport 23 -j REJECT --reject-with tcp-reset
-I INPUT 3 -s 10.1.2.3 -j REJECT --reject-with icmp-host-prohibited
-I INPUT 4 -s 8.8.8.8 -p tcp -j ACCEPT
-I DOCKER-USER 1 -s 10.1.2.3 -j REJECT --reject-with icmp-admin-prohibited
-I DOCKER-USER 2 -i veth+ -m physdev --physdev-is-bridged -p udp -j DROP
-I OUTPUT 1 -d 9.9.9.9 -j DROP
COMMIT
*raw
-I PREROUTING 1 -s 192.0.2.55 -j DROP
COMMIT
""",
    6: """*filter
-I INPUT 1 -p tcp -m tcp --dport 22 -j DROP
-I INPUT 2 -s fd00:1::3 -j REJECT --reject-with icmp6-adm-prohibited
COMMIT
""",
}


def shot(
    place: str, source: str, destination: str, protocol: int = TCP, port: int = 80, **more: object
) -> Shot:
    """Return a shot."""
    bridged = str(more.pop("bridged", ""))
    ends = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    ported = protocol in (TCP, UDP, SCTP)
    wire = Wire(*ends, protocol, source_port=40001, destination_port=port if ported else 0, **more)  # type: ignore[arg-type]
    return Shot(place, wire, bridged)


@pytest.fixture
def loaded(world: World) -> dict[Family, Range]:
    """The tables of the engine, and RULES."""
    for family in FAMILIES:
        text = f"*raw\nCOMMIT\n*mangle\nCOMMIT\n{world.baseline[family]}"
        world.host.restore(text, world.backend, family, noflush=False)
        world.host.restore(RULES[family], world.backend, family)
    return {family: Range(world, family) for family in FAMILIES}


HOST_4, HOST_6 = "198.51.100.1", "2001:db8:1::1"
WEB_4, WEB_6 = (CONTAINER_ADDRESSES[family][0] for family in FAMILIES)


@dataclass(frozen=True, slots=True)
class DockerRule:
    """A rule of Docker's own, by its table and text: its chain and place differ between releases.

    `rules` are the rules of the releases, one for each; `otherwise` decides if a release has no such rule.
    """

    rules: tuple[tuple[str, str], ...]
    otherwise: RuleAt | None = None

    def place(self, ruleset: Ruleset) -> RuleAt:
        """Return its place in the current chains."""
        found = [
            (table.name, chain.name, number)
            for table in ruleset.tables.values()
            for chain in table.chains.values()
            for number, rule in enumerate(chain.rules, 1)
            if (table.name, rule.text) in self.rules
        ]
        if self.otherwise and not found:
            return self.otherwise
        assert len(found) == 1, (self, found)
        return found[0]


def accept_published(address: str) -> DockerRule:
    """Return the rule that accepts packets to port 80 of a container on the default bridge."""
    words = f"-A DOCKER -d {address} ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"
    return DockerRule((("filter", words),))


def drop_direct_access(address: str, bridge: str = "docker0") -> tuple[str, str]:
    """Return the rule with which Docker 28 and later drop packets directly to a container's address."""
    return "raw", f"-A PREROUTING -d {address} ! -i {bridge} -j DROP"


BETWEEN_NETWORKS = DockerRule(
    (
        ("filter", f"-A DOCKER-ISOLATION-STAGE-2 -o {BRIDGE} -j DROP"),
        drop_direct_access("172.30.0.2/32", BRIDGE),
    )
)
WITHIN_A_NETWORK = DockerRule(
    (
        ("filter", "-A FORWARD -i docker0 -o docker0 -j ACCEPT"),
        ("filter", "-A DOCKER-FORWARD -i docker0 -j ACCEPT"),
    )
)
FORWARD_POLICY = ("filter", "FORWARD", 0)

# the packet; its verdict and the answer; the rule that decides; where it arrives
CASES = [
    (shot("left", "8.8.8.8", HOST_4, port=22), "DROP", "", ("filter", "INPUT", 1), None),
    (shot("left", "8.8.8.8", HOST_4, port=23), "REJECT", "tcp-reset", ("filter", "INPUT", 2), None),
    (shot("right", "10.1.2.3", HOST_4, UDP), "REJECT", "icmp-host-prohibited", ("filter", "INPUT", 3), None),
    (shot("left", "8.8.8.8", HOST_4, port=99), "ACCEPT", "", ("filter", "INPUT", 4), None),
    (shot("left", "198.51.100.77", HOST_4, SCTP, port=99), "ACCEPT", "", ("filter", "INPUT", 0), None),
    (shot("left", "198.51.100.77", HOST_4, ICMP, icmp_type=8), "ACCEPT", "", ("filter", "INPUT", 0), None),
    (shot("left", "198.51.100.77", HOST_4, 47), "ACCEPT", "", ("filter", "INPUT", 0), None),
    (
        shot("left", "8.8.8.8", HOST_4, port=8080),
        "ACCEPT",
        "",
        accept_published(f"{WEB_4}/32"),
        ("web", WEB_4, 80),
    ),
    (
        shot("left", "10.1.2.3", HOST_4, port=8080),
        "REJECT",
        "icmp-admin-prohibited",
        ("filter", "DOCKER-USER", 1),
        None,
    ),
    (
        shot("left", "8.8.8.8", "172.17.0.4", port=81),
        "DROP",
        "",
        DockerRule((drop_direct_access("172.17.0.4/32"),), FORWARD_POLICY),
        None,
    ),
    (shot("left", "192.0.2.55", HOST_4), "DROP", "", ("raw", "PREROUTING", 1), None),
    (shot("web", WEB_4, "172.30.0.2"), "DROP", "", BETWEEN_NETWORKS, None),
    (
        shot("web", WEB_4, "172.17.0.3", bridged="other"),
        "ACCEPT",
        "",
        WITHIN_A_NETWORK,
        ("other", "172.17.0.3", 80),
    ),
    (shot(HOST, HOST_4, "9.9.9.9"), "DROP", "", ("filter", "OUTPUT", 1), None),
    (shot(HOST, HOST_4, WEB_4, UDP), "ACCEPT", "", ("filter", "OUTPUT", 0), ("web", WEB_4, 80)),
    (shot("left", "2600::55", HOST_6, port=22), "DROP", "", ("filter", "INPUT", 1), None),
    (shot("left", "fd00:1::3", HOST_6), "REJECT", "icmp6-adm-prohibited", ("filter", "INPUT", 2), None),
    (shot("left", "2600::55", HOST_6, ICMPV6, icmp_type=128), "ACCEPT", "", ("filter", "INPUT", 0), None),
    (
        shot("left", "2600::55", HOST_6, port=8080),
        "ACCEPT",
        "",
        accept_published(f"{WEB_6}/128"),
        ("web", WEB_6, 80),
    ),
    (
        shot("right", "2600::55", WEB_6, UDP),
        "DROP",
        "",
        DockerRule((drop_direct_access(f"{WEB_6}/128"),), FORWARD_POLICY),
        None,
    ),
]


def test_the_rig_finds_out_what_happened_to_packets(loaded: dict[Family, Range]) -> None:
    for sent, kind, answer, decides, arrival in CASES:
        live = loaded[sent.wire.family]
        deciding = decides.place(live.ruleset) if isinstance(decides, DockerRule) else decides
        seen = live.fire(sent)
        assert (seen.kind, seen.reject_with, seen.deciding) == (kind, answer, deciding), seen
        assert seen.arrived == ((arrival,) if arrival else ()), seen
        assert all(count == 1 for count in seen.counted.values()), seen


def test_a_lost_packet_does_not_count_as_dropped(
    loaded: dict[Family, Range], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PATIENCE", 0.2)
    # Sent to the hardware address of a container, which the host does not accept on this interface.
    lost = shot("left", "8.8.8.8", HOST_4, bridged="web")
    with pytest.raises(RigError, match="left no evidence of a verdict"):
        loaded[4].fire(lost)
    assert loaded[4].fire(shot("left", "8.8.8.8", HOST_4, port=22)).kind == "DROP"


def test_checksums_match_the_standards() -> None:
    # RFC 1071, section 3, and RFC 3720, B.4.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_counters_are_read_by_place() -> None:
    save = (
        "*filter\n:INPUT DROP [7:9]\n:X - [0:0]\n[1:60] -A INPUT -j X\n[2:9] -A X\n[0:0] -A INPUT\nCOMMIT\n"
    )
    assert read_counters(save) == {
        ("filter", "INPUT", 0): 7,
        ("filter", "INPUT", 1): 1,
        ("filter", "X", 1): 2,
        ("filter", "INPUT", 2): 0,
    }
