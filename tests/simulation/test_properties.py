"""Properties of any ruleset: one packet and all sources agree, and no words in a rule cause an error."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given, settings
from hypothesis import strategies as st

from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.simulation.addresses import LAST, AddressSet, union_of
from dockerfw.simulation.services import Service, simulate_service
from dockerfw.simulation.simulate import prepare, simulate
from tests.simulation.hosts import CLIENT, HOST, OWN, TCP, UDP, packet, prepared

CHAINS = ("A", "B", "C")
NETWORKS: dict[Family, list[str]] = {
    4: [
        "203.0.113.5",
        "203.0.113.0/24",
        "203.0.0.0/16",
        "10.0.0.0/8",
        "0.0.0.5/0.0.0.255",
        "198.51.100.0/25",
    ],
    6: ["2001:db8:9::5", "2001:db8:9::/48", "2001:db8::/32", "fd00::/8", "::5/::f", "fe80::/10"],
}
SPREAD: dict[Family, str] = {4: "0.0.0.5/0.0.0.255", 6: "::5/::f"}
"""A mask with so many gaps that only one source at a time can be decided."""
OTHERS = [
    "-p tcp",
    "-p tcp --dport 22",
    "-p tcp --dport 8080",
    "-p udp --dport 53",
    "! -p udp",
    "-p tcp -m multiport --dports 22,8080",
    "-i eth0",
    "! -i eth0",
    "-o docker0",
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate DNAT",
    "-m conntrack --ctorigdstport 8080",
    "-m conntrack --ctorigsrc ::5/::f",
    "-m conntrack --ctorigsrc 0.0.0.5/0.0.0.255",
    "-m addrtype --src-type LOCAL",
    "-m addrtype --dst-type LOCAL",
    "-m set --match-set networks src",
    "-m set --match-set addresses6 src",
    "-m mark --mark 1",
    "-m recent --rcheck",
    "-p tcp --sport 1024:65535",
]


@st.composite
def matches(draw: st.DrawFn, family: Family) -> str:
    """Draw the matches of a rule: often a source, and other matches."""
    found = []
    if draw(st.booleans()):
        network = draw(st.sampled_from(NETWORKS[family]))
        found.append(f"{draw(st.sampled_from(['', '! ']))}-s {network}")
    found += draw(st.lists(st.sampled_from(OTHERS), max_size=2))
    return " ".join(found)


@st.composite
def rules(draw: st.DrawFn, family: Family) -> str:
    """Draw a rule of the filter table that jumps only to later chains."""
    chain = draw(st.sampled_from(["INPUT", "FORWARD", *CHAINS]))
    below = CHAINS[CHAINS.index(chain) + 1 :] if chain in CHAINS else CHAINS
    ends = [f"-j {target}" for target in ("ACCEPT", "DROP", "REJECT", "RETURN", "LOG", *below)]
    ends += [f"-g {target}" for target in below]
    return f"-A {chain} {draw(matches(family))} {draw(st.sampled_from(ends))}"


@st.composite
def rulesets(draw: st.DrawFn, family: Family) -> str:
    """Draw mangle, nat and filter tables whose chains call only later chains."""
    lines = ["*mangle"]
    lines += [
        f"-A PREROUTING {draw(matches(family))} -j MARK --set-mark 1" for _ in range(draw(st.integers(0, 2)))
    ]
    lines += ["COMMIT", "*nat"]
    if draw(st.booleans()):
        to = {4: "172.17.0.2:80", 6: "[fd00:17::2]:80"}[family]
        lines.append(f"-A PREROUTING {draw(matches(family))} -p tcp -j DNAT --to-destination {to}")
    lines += ["COMMIT", "*filter", *(f":{chain} -" for chain in CHAINS)]
    lines += [f":{chain} {draw(st.sampled_from(['ACCEPT', 'DROP']))}" for chain in ("INPUT", "FORWARD")]
    lines += [draw(rules(family)) for _ in range(draw(st.integers(0, 12)))]
    # A list of consecutive sources, which the simulator joins into one run.
    listed = draw(st.lists(st.sampled_from(NETWORKS[family]), max_size=8))
    lines += [f"-A INPUT -s {network} -j {draw(st.sampled_from(['DROP', 'ACCEPT']))}" for network in listed]
    return "\n".join([*lines, "COMMIT", ""])


def cases() -> st.SearchStrategy[tuple[Family, str]]:
    """Draw a family and rules for it."""
    families: st.SearchStrategy[Family] = st.sampled_from([4, 6])
    return families.flatmap(lambda family: rulesets(family).map(lambda rules: (family, rules)))


def sample_addresses(addresses: AddressSet) -> list[int]:
    """Return both ends of some of the intervals."""
    chosen = [*addresses.intervals[:3], *addresses.intervals[-1:]]
    return [value for interval in chosen for value in interval]


@settings(max_examples=150)
@given(cases(), st.sampled_from([(TCP, 22), (TCP, 8080), (UDP, 53)]))
def test_one_packet_and_all_sources_agree(case: tuple[Family, str], port: tuple[int, int]) -> None:
    family, rules = case
    compiled = prepared(rules, family)
    service = Service(family, port[0], packet(family).destination, port[1], "eth0")
    found = simulate_service(compiled, service)
    address = IPv4Address if family == 4 else IPv6Address
    assert not found.passes.intersection(found.refused)
    assert not found.unknown.intersection(found.passes.union(found.refused))
    assert union_of(family, [found.passes, found.refused, found.unknown]).is_everything
    assert sum(part.count() for part, _ in found.parts) == LAST[family] + 1
    for part, verdict in found.parts:
        group = {"ACCEPT": found.passes, "UNKNOWN": found.unknown}.get(verdict.kind, found.refused)
        assert not part.difference(group)
        for value in sample_addresses(part):
            one = simulate(compiled, service.packet(address(value)))
            assert one.steps
            if SPREAD[family] not in rules:
                assert one.verdict == verdict
            elif verdict.kind != "UNKNOWN":
                assert (one.verdict.kind, one.verdict.reject_with) == (verdict.kind, verdict.reject_with)


WORDS = st.one_of(
    st.sampled_from(
        [
            *("-s", "-d", "-p", "-i", "-o", "!", "-m", "-j", "-g", "-f", "tcp", "udp", "icmp", "all"),
            *("eth+", "ACCEPT", "conntrack", "multiport", "set", "addrtype", "iprange", "mark", "mac"),
            *("limit", "hashlimit", "physdev", "--dport", "--sport", "--dports", "--syn"),
            *("--tcp-flags", "--icmp-type", "--ctstate", "--ctorigdst", "--ctstatus", "--mark"),
            *("--match-set", "--src-range", "--src-type", "--mac-source", "--to-destination"),
            *("--set-xmark", "DNAT", "MARK", "CONNMARK", "CT", "REDIRECT", "NETMAP", "REJECT"),
            *("--notrack", "--reject-with", "--to", "--to-ports", "1:2:3", "22", ":", "/"),
            *("10.0.0.0/99", "::/x", "0x1/0x2", "a-b", "1-2", "src,dst", "networks", "NEW,", "8/0"),
            *("²", "99999999999", "-1"),
        ]
    ),
    st.text(st.characters(exclude_characters='\n\r\t "', exclude_categories=["Cs"]), min_size=1, max_size=6),
)


@settings(max_examples=300)
@given(
    st.sampled_from(["raw", "mangle", "nat", "filter", "security"]),
    st.lists(st.lists(WORDS, min_size=1, max_size=8), min_size=1, max_size=4),
    st.sampled_from([4, 6]),
)
def test_no_words_in_a_rule_cause_an_error(table: str, lines: list[list[str]], version: int) -> None:
    family: Family = 4 if version == 4 else 6
    chain = "PREROUTING" if table in ("raw", "nat") else "INPUT"
    written = (f"-A {chain} {' '.join(line)}" for line in lines)
    text = "\n".join([f"*{table}", f":{chain} ACCEPT [0:0]", *written, "COMMIT"])
    try:
        ruleset = parse_save(text + "\n")
    except ParseError:
        return
    compiled = prepare(ruleset, HOST, family)
    for in_interface in ("eth0", "lo", None):
        found = simulate(compiled, packet(family, in_interface=in_interface))
        assert found.verdict.kind in ("ACCEPT", "DROP", "REJECT", "UNKNOWN")
        assert (found.verdict.kind == "UNKNOWN") == bool(found.verdict.reason)
        assert found.steps or not ruleset.tables[table].chains[chain].rules
    everyone = simulate_service(compiled, Service(family, TCP, packet(family).destination, 22, "eth0"))
    assert everyone.passes.count() + everyone.refused.count() + everyone.unknown.count() == LAST[family] + 1
    assert (str(packet(family).source), str(packet(family).destination)) == (CLIENT[family], OWN[family])
