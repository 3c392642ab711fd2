"""Each match of iptables, for packets that match, packets that do not, and packets that cannot be decided.

The expected verdicts follow iptables(8) and iptables-extensions(8).
"""

from __future__ import annotations

import pytest

from dockerfw.iptables.extensions import MATCHES
from dockerfw.iptables.model import Family
from dockerfw.simulation.match_readers import MATCH_READERS
from dockerfw.simulation.targets import CONTINUING
from tests.simulation.hosts import GRE, ICMP, ICMPV6, SCTP, UDP, filtered, trace, verdict

YES, NO, UNKNOWN = "DROP", "ACCEPT", "UNKNOWN"

V4 = [
    # -s, -d
    ("-s 203.0.113.5", {}, YES),
    ("-s 203.0.113.0/24", {}, YES),
    ("-s 203.0.113.0/255.255.255.0", {}, YES),
    ("-s 203.0.113.0/030", {}, YES),
    ("-s 0313.0.0161.5", {}, YES),
    ("-s 203.0.112.0/24", {}, NO),
    ("! -s 203.0.113.0/24", {}, NO),
    ("! -s 203.0.112.0/24", {}, YES),
    ("-s 0.0.0.5/0.0.0.255", {}, YES),
    ("-s 0.0.0.6/0.0.0.255", {}, NO),
    ("! -s 0.0.0.6/0.0.0.255", {}, YES),
    ("-s 203.0.113.5/255.0.255.255", {"source": "203.77.113.5"}, YES),
    ("-s 0.0.0.0/0", {}, YES),
    ("-d 192.0.2.1", {}, YES),
    ("-d 192.0.2.2", {}, NO),
    ("! -d 192.0.2.2", {}, YES),
    # -p
    ("-p tcp", {}, YES),
    ("-p TCP", {}, YES),
    ("-p 6", {}, YES),
    ("-p all", {"protocol": GRE}, YES),
    ("-p udp", {}, NO),
    ("! -p udp", {}, YES),
    ("! -p tcp", {}, NO),
    ("-p gre", {"protocol": GRE}, YES),
    # -i, -o, -f
    ("-i eth0", {}, YES),
    ("-i eth+", {}, YES),
    ("-i +", {}, YES),
    ("-i eth", {}, NO),
    ("! -i eth0", {}, NO),
    ("! -i lo", {}, YES),
    ("-i veth1", {"in_interface": "veth1"}, NO),
    ("-i docker0", {"in_interface": "veth1"}, YES),
    ("-f", {}, NO),
    ("! -f", {}, YES),
    # tcp
    ("-p tcp --dport 22", {}, YES),
    ("-p tcp --dport ssh", {}, YES),
    ("-p tcp --dport 026", {}, YES),
    ("-p tcp --dport 20:25", {}, YES),
    ("-p tcp --dport :21", {}, NO),
    ("-p tcp ! --dport 22", {}, NO),
    ("-p tcp ! --dport :", {}, UNKNOWN),
    ("-p tcp -m policy --dir in --pol ipsec --proto esp", {}, UNKNOWN),
    ("-p tcp ! --dport 20:21", {}, YES),
    ("-p tcp --sport 1024:", {}, YES),
    ("-p tcp --sport 1:1023", {}, NO),
    ("-p tcp --sport 1024:", {"source_port": None}, UNKNOWN),
    ("-p tcp --sport 0:65535", {"source_port": None}, YES),
    ("-p tcp --dport 22", {"destination_port": None}, UNKNOWN),
    ("-p tcp --syn", {}, YES),
    ("-p tcp ! --syn", {}, NO),
    ("-p tcp --tcp-flags SYN,ACK SYN", {}, YES),
    ("-p tcp --tcp-flags ALL NONE", {}, NO),
    ("-p tcp --tcp-flags FIN,RST FIN", {}, NO),
    ("-p tcp --tcp-flags FIN,RST NONE", {}, YES),
    ("-p tcp --tcp-option 2", {}, UNKNOWN),
    ("-p tcp --dport 22 -s 203.0.113.5 -i eth0", {}, YES),
    ("-p tcp --dport 22 -s 203.0.113.6 -i eth0", {}, NO),
    # udp, sctp
    ("-p udp --dport 53", {"protocol": UDP, "destination_port": 53}, YES),
    ("-p udp --dport 53", {"destination_port": 53}, NO),
    ("-p udp ! --dport 53", {"protocol": UDP, "destination_port": 54}, YES),
    ("-p sctp --dport 22", {"protocol": SCTP}, YES),
    ("-p sctp ! --dport 22", {"protocol": SCTP}, NO),
    ("-p sctp --chunk-types any INIT", {"protocol": SCTP}, UNKNOWN),
    # multiport
    ("-p tcp -m multiport --dports 20,22,80", {}, YES),
    ("-p tcp -m multiport --dports 20:23,80", {}, YES),
    ("-p tcp -m multiport --dports 80,443", {}, NO),
    ("-p tcp -m multiport ! --dports 80,443", {}, YES),
    ("-p tcp -m multiport ! --dports 22,443", {}, NO),
    ("-p tcp -m multiport --sports 39999:40001", {}, YES),
    ("-p tcp -m multiport --ports 22", {}, YES),
    ("-p tcp -m multiport --ports 40000", {}, YES),
    ("-p tcp -m multiport --ports 80", {}, NO),
    ("-p tcp -m multiport --ports 22", {"source_port": None}, YES),
    ("-p tcp -m multiport --ports 80", {"source_port": None}, UNKNOWN),
    ("-p tcp -m multiport --dport 22", {}, YES),
    # icmp
    ("-p icmp --icmp-type 8", {"protocol": ICMP, "icmp_type": 8, "icmp_code": 0}, YES),
    ("-p icmp --icmp-type echo-request", {"protocol": ICMP, "icmp_type": 8, "icmp_code": 0}, YES),
    ("-p icmp ! --icmp-type echo-request", {"protocol": ICMP, "icmp_type": 13}, YES),
    ("-p icmp --icmp-type any", {"protocol": ICMP}, YES),
    ("-p icmp --icmp-type 8", {"protocol": ICMP}, UNKNOWN),
    ("-p icmp --icmp-type 3/1", {"protocol": ICMP, "icmp_type": 3, "icmp_code": 1}, YES),
    ("-p icmp --icmp-type 3/1", {"protocol": ICMP, "icmp_type": 3, "icmp_code": 2}, NO),
    ("-p icmp --icmp-type 3/1", {"protocol": ICMP, "icmp_type": 3}, UNKNOWN),
    ("-p icmp --icmp-type 3", {"protocol": ICMP, "icmp_type": 3}, YES),
    ("-p icmp --icmp-type 8", {}, NO),
    # conntrack
    ("-m conntrack --ctstate NEW", {}, YES),
    ("-m state --state NEW", {}, YES),
    ("-m conntrack --ctstate RELATED,ESTABLISHED", {}, NO),
    ("-m conntrack ! --ctstate RELATED,ESTABLISHED", {}, YES),
    ("-m conntrack --ctstate ESTABLISHED", {"state": "ESTABLISHED"}, YES),
    ("-m conntrack --ctstate INVALID", {}, NO),
    ("-m conntrack --ctstate INVALID", {"state": "INVALID"}, YES),
    ("-m conntrack --ctstate INVALID", {"protocol": ICMP, "icmp_type": 0, "icmp_code": 0}, YES),
    ("-m conntrack --ctstate UNTRACKED", {}, NO),
    ("-m conntrack --ctstate DNAT", {}, NO),
    ("-m conntrack --ctstate SNAT", {}, NO),
    ("-m conntrack --ctproto tcp", {}, YES),
    ("-m conntrack ! --ctproto 6", {}, NO),
    ("-m conntrack --ctproto 6", {"state": "INVALID"}, NO),
    ("-m conntrack --ctdir ORIGINAL", {}, YES),
    ("-m conntrack --ctdir REPLY", {}, NO),
    ("-m conntrack --ctorigsrc 203.0.113.0/24", {}, YES),
    ("-m conntrack ! --ctorigsrc 203.0.113.0/24", {}, NO),
    ("-m conntrack --ctorigdst 192.0.2.1", {}, YES),
    ("-m conntrack ! --ctorigdst 192.0.2.1", {}, NO),
    ("-m conntrack --ctreplsrc 192.0.2.1", {}, YES),
    ("-m conntrack --ctrepldst 203.0.113.5", {}, YES),
    ("-m conntrack --ctorigdstport 22", {}, YES),
    ("-m conntrack --ctorigdstport 20:21", {}, NO),
    ("-m conntrack ! --ctorigdstport 20:21", {}, YES),
    ("-m conntrack --ctorigsrcport 40000", {}, YES),
    ("-m conntrack --ctrepldstport 40000", {}, YES),
    ("-m conntrack --ctreplsrcport 22", {}, YES),
    ("-m conntrack --ctorigsrcport 40000", {"source_port": None}, UNKNOWN),
    ("-m conntrack --ctorigdstport 22 --ctdir ORIGINAL", {"state": "UNTRACKED"}, NO),
    ("-m conntrack ! --ctorigdstport 22", {"state": "UNTRACKED"}, NO),
    ("-m conntrack --ctstate UNTRACKED --ctorigdstport 80", {"state": "UNTRACKED"}, YES),
    ("-m conntrack --ctstate UNTRACKED --ctorigsrc 10.0.0.0/8", {"state": "UNTRACKED"}, YES),
    ("-m conntrack --ctorigdst 192.0.2.1", {"state": "ESTABLISHED"}, UNKNOWN),
    ("-m conntrack --ctorigdstport 2048", {"protocol": ICMP, "icmp_type": 8, "icmp_code": 0}, YES),
    ("-m conntrack --ctstatus SEEN_REPLY", {}, NO),
    ("-m conntrack ! --ctstatus ASSURED,CONFIRMED", {}, YES),
    ("-m conntrack --ctstatus NONE", {}, NO),
    ("-m conntrack --ctexpire 10:20", {}, UNKNOWN),
    # addrtype
    ("-m addrtype --dst-type LOCAL", {}, YES),
    ("-m addrtype --dst-type UNICAST", {}, NO),
    ("-m addrtype ! --dst-type LOCAL", {}, NO),
    ("-m addrtype --src-type UNICAST", {}, YES),
    ("-m addrtype --src-type LOCAL", {}, NO),
    ("-m addrtype --src-type LOCAL", {"source": "127.8.9.1"}, YES),
    ("-m addrtype --src-type LOCAL,BROADCAST", {"source": "192.0.2.255"}, YES),
    ("-m addrtype --src-type BROADCAST", {"source": "0.0.0.0"}, YES),
    ("-m addrtype --src-type MULTICAST", {"source": "224.0.0.9"}, YES),
    ("-m addrtype --src-type UNICAST --dst-type LOCAL", {}, YES),
    ("-m addrtype --src-type LOCAL --dst-type LOCAL", {}, NO),
    ("-m addrtype --src-type LOCAL", {"source": "10.9.0.1"}, NO),
    ("-m addrtype --src-type UNICAST", {"source": "192.0.2.0"}, UNKNOWN),
    ("-m addrtype --src-type PROHIBIT", {}, UNKNOWN),
    ("-m addrtype --src-type UNSPEC", {}, NO),
    ("-m addrtype --dst-type BLACKHOLE", {}, NO),
    ("-m addrtype ! --dst-type ANYCAST,PROHIBIT", {}, YES),
    ("-m addrtype --dst-type UNREACHABLE,LOCAL", {}, YES),
    ("-m addrtype --src-type BLACKHOLE", {"source": "192.0.2.255"}, NO),
    ("-m addrtype --dst-type THROW --limit-iface-in", {"destination": "172.17.0.1"}, NO),
    ("-m addrtype --dst-type LOCAL --limit-iface-in", {}, YES),
    ("-m addrtype --dst-type LOCAL --limit-iface-in", {"destination": "172.17.0.1"}, NO),
    ("-m addrtype --dst-type UNICAST --limit-iface-in", {"destination": "172.17.0.1"}, YES),
    # iprange
    ("-m iprange --src-range 203.0.113.1-203.0.113.9", {}, YES),
    ("-m iprange ! --src-range 203.0.113.1-203.0.113.9", {}, NO),
    ("-m iprange --src-range 203.0.113.6-203.0.113.9", {}, NO),
    ("-m iprange --dst-range 192.0.2.0-192.0.2.9", {}, YES),
    ("-m iprange --src-range 203.0.113.5 --dst-range 192.0.2.2-192.0.2.9", {}, NO),
    # marks
    ("-m mark --mark 0", {}, YES),
    ("-m mark --mark 0x10/0xf0", {"mark": 0x1F}, YES),
    ("-m mark ! --mark 0x10/0xf0", {"mark": 0x1F}, NO),
    ("-m mark --mark 1", {}, NO),
    pytest.param(f"-m mark --mark 0x{5000 * 'f'}", {}, UNKNOWN, id="endless mark"),
    ("-m connmark --mark 0", {}, YES),
    ("-m connmark ! --mark 0", {"state": "INVALID"}, NO),
    ("-m connmark --mark 0", {"state": "UNTRACKED"}, NO),
    # limits and comments
    ("-m limit --limit 1/hour", {}, YES),
    ("-m hashlimit --hashlimit-upto 5/sec --hashlimit-mode srcip --hashlimit-name x", {}, YES),
    ("-m hashlimit --hashlimit-above 5/sec --hashlimit-mode srcip --hashlimit-name x", {}, NO),
    ("-m hashlimit ! --hashlimit-upto 5/sec --hashlimit-mode srcip --hashlimit-name x", {}, NO),
    ("-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 1 --hashlimit-name x", {}, YES),
    ("-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 0 --hashlimit-name x", {}, UNKNOWN),
    ("-m hashlimit --hashlimit-upto 5/sec --hashlimit-rate-match --hashlimit-name x", {}, UNKNOWN),
    ("-m hashlimit --hashlimit-upto 5/sec --hashlimit-new 5 --hashlimit-name x", {}, UNKNOWN),
    ('-m comment --comment "-s 10.0.0.1"', {}, YES),
    # mac, physdev
    ("-m mac --mac-source 00:11:22:33:44:55", {}, UNKNOWN),
    ("-m mac --mac-source 00:11:22:33:44:5A", {"mac": "00:11:22:33:44:5a"}, YES),
    ("-m mac ! --mac-source 00:11:22:33:44:55", {"mac": "00:11:22:33:44:55"}, NO),
    ("-m physdev --physdev-in veth1", {}, NO),
    ("-m physdev ! --physdev-in veth1", {}, YES),
    ("-m physdev --physdev-is-bridged", {}, NO),
    ("-m physdev --physdev-in veth1", {"in_interface": "docker0"}, UNKNOWN),
    ("-m physdev --physdev-in veth1", {"in_interface": "veth1"}, UNKNOWN),
    # sets
    ("-m set --match-set addresses src", {}, YES),
    ("-m set ! --match-set addresses src", {}, NO),
    ("-m set --match-set addresses src", {"source": "203.0.113.6"}, YES),
    ("-m set --match-set addresses dst", {}, NO),
    ("-m set --match-set networks src", {"source": "198.51.100.9"}, YES),
    ("-m set --match-set networks src", {"source": "198.51.100.129"}, NO),
    ("-m set --match-set networks src", {"source": "198.51.100.200"}, YES),
    ("-m set --match-set networks src -m conntrack --ctorigsrc 0.0.0.5/0.0.0.255", {}, NO),
    ("-m set --match-set ports src,dst", {}, YES),
    ("-m set --match-set ports src,dst", {"destination_port": 23}, NO),
    ("-m set --match-set ports src,src", {}, NO),
    ("-m set --match-set ports dst,dst", {"protocol": UDP, "destination_port": 53}, YES),
    ("-m set --match-set ports src", {}, NO),
    ("-m conntrack --ctorigsrcport 5", {"protocol": 50}, NO),
    ("-m conntrack ! --ctorigsrcport 5", {"protocol": 50}, YES),
    ("-m conntrack --ctorigsrcport 5", {"protocol": ICMP, "icmp_type": 8}, UNKNOWN),
    ("-m set --match-set ports src,dst", {"protocol": GRE}, NO),
    ("-m set --match-set ports src,dst", {"protocol": ICMP, "icmp_type": 8}, NO),
    ("-m set --match-set ports src,src", {"source_port": None}, UNKNOWN),
    ("-m set --match-set halves-by-port dst,dst", {}, YES),
    ("-m set --match-set halves-by-port dst,dst", {"destination_port": 23}, NO),
    ("-m set --match-set halves-by-port dst,dst", {"protocol": UDP}, NO),
    ("-m set --match-set on-bridges src,src", {}, YES),
    ("-m set --match-set on-bridges src,src", {"source": "198.51.100.9"}, NO),
    ("-m set --match-set on-bridges src,src", {"in_interface": "docker0"}, YES),
    ("-m set --match-set on-bridges src,src", {"in_interface": "eth1"}, NO),
    ("-m set ! --match-set on-bridges src,src", {"in_interface": "eth1"}, YES),
    ("-m set --match-set on-bridges src,dst", {}, NO),
    ("-m set --match-set on-bridges dst,src", {}, NO),
    ("-m set --match-set on-bridges src", {}, NO),
    # The smallest network with the address decides, also if it is for another interface.
    ("-m set --match-set inside-others src,src", {}, NO),
    ("-m set --match-set inside-others src,src", {"source": "203.0.114.5"}, YES),
    ("-m set --match-set inside-others src,src", {"in_interface": "docker0"}, YES),
    ("-m set --match-set of-bridge-ports src,src", {}, UNKNOWN),
    ("-m set --match-set numbers dst", {}, YES),
    ("-m set --match-set numbers dst", {"destination_port": 80}, YES),
    ("-m set --match-set numbers dst", {"destination_port": 81}, NO),
    ("-m set --match-set numbers src", {}, NO),
    ("-m set --match-set numbers src", {"source_port": None}, UNKNOWN),
    ("-m set --match-set numbers dst", {"protocol": SCTP}, NO),
    ("-m set --match-set halves src", {"source": "198.51.100.127"}, YES),
    ("-m set --match-set halves src", {"source": "198.51.100.128"}, NO),
    ("-m set --match-set both src", {"source": "198.51.100.9"}, YES),
    ("-m set --match-set both src", {"source": "198.51.100.129"}, NO),
    ("-m set --match-set addresses6 src", {}, NO),
    ("-m set --match-set large src", {}, UNKNOWN),
    ("-m set --match-set odd src", {}, UNKNOWN),
    ("-m set --match-set of-macs src", {}, UNKNOWN),
    ("-m set --match-set nowhere src", {}, UNKNOWN),
    ("-m set --match-set addresses src --packets-gt 5", {}, UNKNOWN),
    # connlimit and recent, for the first packet of a source
    ("-m connlimit --connlimit-above 5", {}, NO),
    ("-m connlimit ! --connlimit-above 5", {}, YES),
    ("-m connlimit --connlimit-upto 1 --connlimit-mask 24", {}, YES),
    ("-m connlimit --connlimit-above 0", {}, YES),
    ("-m connlimit --connlimit-upto 0", {}, NO),
    ("-m connlimit --connlimit-upto x", {}, UNKNOWN),
    ("-m recent --set --name x", {}, YES),
    ("-m recent ! --set --name x", {}, NO),
    ("-m recent --update --seconds 60 --hitcount 4 --name x", {}, NO),
    ("-m recent ! --rcheck --seconds 60 --hitcount 4", {}, YES),
    ("-m recent --rcheck --seconds 60 --hitcount 1", {}, UNKNOWN),
    ("-m recent --update --seconds 60", {}, UNKNOWN),
    ("-m recent --remove", {}, UNKNOWN),
    # options without a reader
    ("-m recent --rcheck --name x", {}, UNKNOWN),
    ("-m owner --uid-owner 0", {}, UNKNOWN),
    ("-m statistic --mode nth --every 2", {}, UNKNOWN),
    ("-m string --string x --algo bm", {}, UNKNOWN),
    ("-m time --timestart 10:00", {}, UNKNOWN),
    ("-m ttl --ttl-eq 64", {}, UNKNOWN),
    ("-m nonsense --whatever 1", {}, UNKNOWN),
    ("-p udp -m recent --rcheck --name x", {}, NO),
]
V6 = [
    ("-s 2001:db8:9::/48", {}, YES),
    ("! -s 2001:db8:9::/48", {}, NO),
    ("-d 2001:db8::1", {}, YES),
    ("-s ::5/::ffff", {}, YES),
    ("-s ::6/::ffff", {}, NO),
    ("-p tcp --dport 22", {}, YES),
    ("-p ipv6-icmp --icmpv6-type 128", {"protocol": ICMPV6, "icmp_type": 128, "icmp_code": 0}, YES),
    ("-p icmpv6 --icmpv6-type echo-request", {"protocol": ICMPV6, "icmp_type": 129}, NO),
    ("-m conntrack --ctstate UNTRACKED", {"protocol": ICMPV6, "icmp_type": 135}, YES),
    ("-m conntrack --ctstate INVALID", {"protocol": ICMPV6, "icmp_type": 1}, YES),
    ("-m addrtype --dst-type LOCAL", {}, YES),
    ("-m addrtype --dst-type UNICAST", {}, YES),
    ("-m addrtype --src-type LOCAL", {}, NO),
    ("-m addrtype --src-type MULTICAST", {"source": "ff02::1"}, YES),
    ("-m addrtype --src-type LOCAL,UNICAST", {}, NO),
    ("-m addrtype --dst-type LOCAL,UNICAST", {}, YES),
    ("-m addrtype --dst-type UNICAST,MULTICAST", {}, NO),
    ("-m addrtype --dst-type UNSPEC", {}, NO),
    ("-m addrtype --dst-type ANYCAST", {}, NO),
    ("-m addrtype ! --dst-type UNREACHABLE", {}, YES),
    ("-m addrtype --src-type ANYCAST", {}, UNKNOWN),
    ("-m addrtype --dst-type ANYCAST,MULTICAST", {}, NO),
    ("-m set --match-set addresses6 src", {}, YES),
    ("-m iprange --src-range 2001:db8:9::1-2001:db8:9::9", {}, YES),
    ("-m rt --rt-type 0", {}, NO),
    ("-m frag --fragid 1", {}, NO),
    ("-m hl --hl-eq 255", {}, UNKNOWN),
]


@pytest.mark.parametrize(("match", "changes", "expected"), V4, ids=lambda value: str(value))
def test_ipv4(match: str, changes: dict[str, object], expected: str) -> None:
    assert verdict_of_match(match, 4, changes) == expected


@pytest.mark.parametrize(("match", "changes", "expected"), V6, ids=lambda value: str(value))
def test_ipv6(match: str, changes: dict[str, object], expected: str) -> None:
    assert verdict_of_match(match, 6, changes) == expected


def verdict_of_match(match: str, family: Family, changes: dict[str, object]) -> str:
    """Return the verdict if the only rule drops packets with this match."""
    return verdict(filtered(f"-A INPUT {match} -j DROP", f"-A FORWARD {match} -j DROP"), family, **changes)


@pytest.mark.parametrize("module", sorted(MATCHES.keys() - MATCH_READERS.keys() - {"comment"}))
def test_a_match_without_a_reader_is_undecided(module: str) -> None:
    option = next(iter(MATCHES[module].options))
    protocol = {"dccp": "33", "esp": "50", "ah": "51"}.get(module, "tcp")
    changes: dict[str, object] = {"protocol": int(protocol)} if protocol.isdigit() else {}
    assert verdict_of_match(f"-p {protocol} -m {module} {option} 1", 4, changes) == UNKNOWN


@pytest.mark.parametrize(
    "target", ["NFQUEUE", "QUEUE", "TPROXY", "SYNPROXY", "TARPIT", "HMARK", "SNAT", "MASQUERADE"]
)
def test_an_unsupported_target_is_unknown(target: str) -> None:
    assert verdict(filtered(f"-A INPUT -j {target}", "-A INPUT -j DROP")) == UNKNOWN


@pytest.mark.parametrize("target", sorted(CONTINUING))
def test_a_packet_continues_after_these_targets(target: str) -> None:
    assert verdict(filtered(f"-A INPUT -j {target}", "-A INPUT -j DROP")) == YES


HASHLIMIT = "-m hashlimit --hashlimit-name x --hashlimit-upto"


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ("-m limit --limit 5/min", "at most 5 a minute, the first 5 at once"),
        ("-m limit --limit 1/hour --limit-burst 1", "at most 1 an hour"),
        (
            f"{HASHLIMIT} 6/minute --hashlimit-burst 6 --hashlimit-mode srcip",
            "at most 6 a minute from each source, the first 6 at once",
        ),
        (
            f"{HASHLIMIT} 100/sec --hashlimit-burst 1000 --hashlimit-mode srcip --hashlimit-srcmask 24",
            "at most 100 a second from each source /24, the first 1,000 at once",
        ),
        (
            f"{HASHLIMIT} 1/hour --hashlimit-burst 1 --hashlimit-mode srcip,dstport",
            "at most 1 an hour from each source to each port",
        ),
    ],
)
def test_the_trace_says_what_a_limit_allows(match: str, words: str) -> None:
    step = trace(filtered(f"-A INPUT {match} -j DROP")).steps[-1]
    assert step.why == f"the limit is not reached: {words}: dropped"


def test_the_trace_names_no_limit_that_it_cannot_read() -> None:
    step = trace(filtered(f"-A INPUT {HASHLIMIT} 4kb/s -j DROP")).steps[-1]
    assert step.why == "the limit is not reached: dropped"
