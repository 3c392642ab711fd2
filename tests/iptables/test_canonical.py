"""Which spellings are the same rule; tests/kernel/test_spellings.py checks the same with the kernel."""

from __future__ import annotations

import pytest

from dockerfw.iptables.canonical import canonical_rule, canonical_text
from dockerfw.iptables.model import Counters, Family, Rule

SAME: list[tuple[Family, str, str]] = [
    (4, "-s 10.1.2.3/8", "-s 10.0.0.0/8"),
    (4, "-s 10.1.2.3/255.0.0.0", "-s 10.0.0.0/8"),
    (4, "-s 1.2.3.4", "-s 1.2.3.4/32"),
    (4, "-s ! 1.2.3.4", "! --source 1.2.3.4/32"),
    (4, "-s 0.0.0.0/0 -j DROP", "-j DROP"),
    (4, "-s 10.1", "-s 10.1.0.0/32"),
    (4, "-s 1.2.3.4/255.0.255.0", "-s 1.0.3.0/255.0.255.0"),
    (6, "-s 2001:DB8:0::1", "-s 2001:db8::1/128"),
    (6, "-s ::/0", ""),
    (4, "-p 6", "-p tcp"),
    (4, "-p TCP -i eth0 -s 1.2.3.4", "-s 1.2.3.4/32 -i eth0 -p tcp"),
    (4, "-p all", ""),
    (4, "-p 0", ""),
    (4, "-i +", ""),
    (4, "-c 2,3 -j ACCEPT", "-j ACCEPT"),
    (4, "-p tcp --set-counters 2 3 --dport 22", "-p tcp -m tcp --dport 22"),
    (6, "-p icmpv6", "-p ipv6-icmp"),
    (4, "-p tcp --dport 22", "-p tcp -m tcp --dport 22"),
    (4, "-p tcp --dport 0:65535", "-p tcp -m tcp"),
    (4, "-p tcp --dport :1023", "-p tcp -m tcp --dport 0:1023"),
    (4, "-p tcp --destination-port ssh --source-port 5:5", "-p tcp -m tcp --sport 5 --dport 22"),
    (4, "-p tcp --syn", "-p tcp -m tcp --tcp-flags ACK,RST,SYN,FIN SYN"),
    (4, "-p tcp -m multiport --dports 22", "-p tcp -m tcp --dport 22"),
    (4, "-p tcp -m multiport --dports 443,80", "-p tcp -m multiport --dports 80,443"),
    (4, "-p icmp --icmp-type any", "-p icmp -m icmp --icmp-type 255"),
    (4, "-p icmp --icmp-type echo-request", "-p icmp -m icmp --icmp-type 8"),
    (6, "-p icmpv6 --icmpv6-type no-route", "-p ipv6-icmp -m icmp6 --icmpv6-type 1/0"),
    (4, "-m conntrack --ctstate ESTABLISHED,RELATED", "-m conntrack --ctstate RELATED,ESTABLISHED"),
    (4, "-m state --state ESTABLISHED,RELATED", "-m conntrack --ctstate RELATED,ESTABLISHED"),
    (4, "-m conntrack --ctdir ORIGINAL --ctorigdstport 5", "-m conntrack --ctorigdstport 5 --ctdir ORIGINAL"),
    (4, "-j REJECT", "-j REJECT --reject-with icmp-port-unreachable"),
    (6, "-j REJECT", "-j REJECT --reject-with icmp6-port-unreachable"),
    (4, "-j REJECT --reject-with host-prohib", "-j REJECT --reject-with icmp-host-prohibited"),
    (4, "-j LOG --log-level warning", "-j LOG"),
    (4, "-j MARK --set-mark 1", "-j MARK --set-xmark 0x1/0xffffffff"),
    (4, "-m comment --comment x -m mark --mark 1", "-m mark --mark 0x1 -m comment --comment x"),
    (4, f"-m comment --comment {300 * 'x'}", f"-m comment --comment {255 * 'x'}"),
    (4, "-p udp -m mark --mark 1 --dport 5", "-p udp -m udp --dport 5 -m mark --mark 1"),
    (4, "-m limit --limit 5/minute --limit-burst 5", "-m limit --limit 5/min"),
    (4, "-m limit --limit 420/min", "-m limit --limit 7/sec"),
    (4, "-m limit --limit 86400/day", "-m limit --limit 60/min"),
    (4, "-m hashlimit --hashlimit 3600/sec", "-m hashlimit --hashlimit-upto 3610/sec"),
    (
        4,
        "-m hashlimit --hashlimit-upto 60/minute",
        "-m hashlimit --hashlimit-upto 1/sec --hashlimit-htable-expire 60000",
    ),
    (4, "-m time --datestart 2027", "-m time --datestart 2027-01-01T00:00:00 --datestop 2038-01-19T03:14:07"),
    (
        4,
        "-m statistic --mode random --probability 0.33",
        "-m statistic --mode random --probability .33000000007",
    ),
    (4, "-m recent --set", "-m recent --set --name DEFAULT --mask 255.255.255.255 --rsource"),
    (4, "-j nosuch --x", "--jump nosuch --x"),
    # Neither the kernel here nor iptables 1.8.9 has these; the saved forms are of iptables 1.8.10.
    (6, "-p icmpv6 --icmpv6-type mld-listener-done", "-p ipv6-icmp -m icmp6 --icmpv6-type 132"),
    (4, "-m ipvs --vport http --vproto TCP", "-m ipvs --vproto 6 --vport 80"),
    (4, "-j NFQUEUE --queue-balance :", "-j NFQUEUE --queue-balance 0:65534"),
    (4, "-p tcp ! --sport :", "-p tcp -m tcp ! --sport 0:65535"),
    (6, "-m frag ! --fragid :", "-m frag ! --fragid 0:4294967295"),
]

DIFFERENT: list[tuple[Family, str, str]] = [
    (4, "-s 10.0.0.0/8", "! -s 10.0.0.0/8"),
    (4, "-s 10.0.0.0/8", "-d 10.0.0.0/8"),
    (4, "-p tcp", "-p udp"),
    (4, "-p tcp --dport 22", "-p tcp --sport 22"),
    (4, "-p tcp --dport 22", "-p tcp ! --dport 22"),
    (4, "-p tcp --dport 0:65535", "-p tcp ! --dport 0:65535"),
    (4, "-p tcp --dport 22", "-p udp --dport 22"),
    (4, "-p tcp -m multiport --dports 1,2", "-p tcp -m multiport --sports 1,2"),
    (4, "-p tcp -m multiport --ports 1", "-p tcp -m multiport --dports 1"),
    (4, "-j FILTERS", "-g FILTERS"),
    (4, "-j DROP", "-j ACCEPT"),
    (4, "-j DROP", ""),
    (4, "-m comment --comment a", "-m comment --comment b"),
    (4, "-m comment --comment a", ""),
    (4, "-m comment --comment -j", '-m comment --comment "-j x"'),
    (4, "-m conntrack --ctorigdstport 5", "-m conntrack --ctorigdstport 5 --ctdir ORIGINAL"),
    (4, "-m limit --limit 1/s -m mark --mark 1", "-m mark --mark 1 -m limit --limit 1/s"),
    (4, "-m limit --limit 1/s", "-m limit --limit 1/min"),
    (4, "-m hashlimit --hashlimit-upto 60/min", "-m hashlimit --hashlimit-upto 1/sec"),
    (4, "-m hashlimit --hashlimit-upto 3600/sec", "-m hashlimit --hashlimit-upto 5000/sec"),
    (4, "-m time --datestart 2027", "-m time --datestop 2027"),
    (4, "-m time --datestart 2027 --datestop 2038-01-19T03:14:06", "-m time --datestart 2027"),
    (4, "-m limit --limit 999/day", "-m limit --limit 1000/day"),
    (4, "-m limit --limit 20000/s", "-m limit --limit 30000/s"),
    (4, "-m nosuch --x 1", "-m nosuch --x 2"),
    (4, "-m nosuch --x --y", "-m nosuch --y --x"),
    (4, "-j REJECT", "-j REJECT --reject-with icmp-host-prohibited"),
    (4, "-j LOG", "-j LOG --log-level 5"),
    (4, "-p ah -m ah", "-p ah -m ah ! --ahspi :"),
    (4, "-p icmp --icmp-type 3/1", "-p icmp --icmp-type 3/1:4"),
    (4, "-m policy --dir in --proto esp", "-p esp -m policy --dir in"),
    (4, "-m policy --strict --reqid 1 --next --reqid 2", "-m policy --strict --reqid 2 --next --reqid 1"),
    (4, "-m time --weekdays Mon", "-m time --weekdays Tue"),
    (4, "-m time ! --weekdays 1,2,3,4,5,6,7", "-m time"),
    (4, "-m connbytes --connbytes 5:5", "-m connbytes --connbytes 5"),
    (4, "-p sctp --chunk-types any DATA:Be", "-p sctp --chunk-types any DATA:bE"),
    (4, "-j CONNMARK --save-mark --mask 5", "-j CONNMARK --save-mark --nfmask 5"),
    (4, "-i eth0", "-i eth0+"),
    (4, "-f", "! -f"),
]


def canonical(family: Family, words: str) -> str:
    return canonical_text(f"-A X {words}".strip(), family)


@pytest.mark.parametrize(("family", "one", "other"), SAME)
def test_two_spellings_of_one_rule(family: Family, one: str, other: str) -> None:
    assert canonical(family, one) == canonical(family, other)


def test_a_port_out_of_range_is_kept() -> None:
    endless = 5000 * "9"
    assert f" --dports {endless},80 " in canonical(4, f"-p tcp -m multiport --dports {endless},80 -j ACCEPT")


@pytest.mark.parametrize(("family", "one", "other"), DIFFERENT)
def test_two_rules(family: Family, one: str, other: str) -> None:
    assert canonical(family, one) != canonical(family, other)


def test_table_and_chain_matter_but_counters_and_line_do_not() -> None:
    def rule(table: str, chain: str, packets: int, line: int) -> str:
        return canonical_rule(Rule(table, chain, Counters(packets, 0), f"-A {chain} -j DROP", line))

    assert rule("filter", "INPUT", 1, 1) == rule("filter", "INPUT", 2, 2)
    assert rule("filter", "INPUT", 1, 1) != rule("filter", "OUTPUT", 1, 1)
    assert rule("filter", "INPUT", 1, 1) != rule("mangle", "INPUT", 1, 1)


@pytest.mark.parametrize(("family", "one", "other"), SAME)
def test_the_canonical_form_of_the_canonical_form_is_itself(family: Family, one: str, other: str) -> None:
    form = canonical(family, one)
    assert canonical_text(form, family) == form


@pytest.mark.parametrize(
    "words",
    [
        "-s",
        "-s a b",
        "-s 1.2.3.4/99",
        "-s 300.1.1.1",
        "-s 1.2.3.4/",
        "-s /8",
        "-s host.example",
        "-p",
        "-p 999999999999999999999999",
        "-p tcp --dport",
        "-p tcp --dport a:b:c",
        "-p tcp --dport 99999999999999999999999999",
        "-p tcp --tcp-flags SYN",
        "-m limit --limit 0/s",
        "-m limit --limit x/y",
        "-m limit --limit 5/",
        "-m limit --limit 99999999999/s",
        "-m mark --mark 0xzz/",
        "-m statistic --probability 1e999",
        "-m multiport --dports ,,:",
        "-m iprange --src-range -",
        "-j MARK --and-mark x",
        "-j MARK --or-mark 1/2",
        "-j",
        "-m",
        "! !",
        "! ! -s x",
        "x -s",
    ],
)
@pytest.mark.parametrize("family", [4, 6])
def test_nonsense_has_its_own_form(family: Family, words: str) -> None:
    assert canonical(family, words) == canonical(family, words + " ")
    assert canonical(family, words) != canonical(family, "")
