"""Tables in order, conntrack, Docker's NAT and routing, for incoming, forwarded and outgoing packets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dockerfw.iptables.model import Family
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.sentences import describe_path
from dockerfw.simulation import sentences
from dockerfw.simulation.simulate import prepare, simulate
from dockerfw.simulation.surroundings import Surroundings
from tests.simulation.hosts import HOST, ICMP, filtered, interface, packet, prepared, trace, verdict

DOCKER = """*nat
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
:DOCKER -
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP
:DOCKER -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
{extra}
COMMIT
"""


def docker(*extra: str) -> str:
    return DOCKER.format(extra="\n".join(extra))


def test_a_published_port_is_forwarded_to_its_container() -> None:
    found = trace(docker(), destination_port=8080)
    assert (found.verdict.kind, found.hook, found.out_interface) == ("ACCEPT", "FORWARD", "docker0")
    assert (str(found.destination), found.destination_port) == ("172.17.0.2", 80)
    step = found.verdict.step
    assert step is not None
    assert (step.chain, step.number) == ("DOCKER", 1)


def test_other_ports_stay_on_the_host() -> None:
    found = trace(docker(), destination_port=8081)
    assert (found.verdict.kind, found.hook, found.out_interface) == ("ACCEPT", "INPUT", None)


@pytest.mark.parametrize(
    ("destination", "rule", "kind"),
    [
        ("239.1.2.3", "-A INPUT -j ACCEPT", "UNKNOWN"),
        ("239.1.2.3", "-A INPUT -j DROP", "DROP"),
        ("239.1.2.3", "-A FORWARD -j DROP", "UNKNOWN"),
        ("ff02::fb", "-A INPUT -j REJECT", "REJECT"),
        ("ff02::fb", "-A INPUT -j ACCEPT", "UNKNOWN"),
        ("239.7.7.7", "-A INPUT -j ACCEPT", "ACCEPT"),
        ("172.17.255.255", "-A FORWARD -j DROP", "ACCEPT"),
        ("255.255.255.255", "-A INPUT -j DROP", "DROP"),
    ],
)
def test_multicast_and_broadcast_stay_on_the_host(destination: str, rule: str, kind: str) -> None:
    around = replace(
        HOST,
        interfaces=tuple(
            replace(each, groups=(ip_address("239.7.7.7"),)) if each.name == "eth0" else each
            for each in HOST.interfaces
        ),
    )
    family: Family = 6 if ":" in destination else 4
    rules = parse_restore(f"*filter\n{rule}\nCOMMIT\n", family=family)
    found = simulate(prepare(rules, around, family), packet(family, destination=destination))
    assert (found.verdict.kind, found.hook) == (kind, "INPUT")
    if kind == "UNKNOWN":
        assert found.verdict.reason == sentences.if_joined(f"to {destination} port 22")


def test_a_container_is_not_reachable_directly() -> None:
    found = trace(docker(), destination="172.17.0.2", destination_port=81)
    assert (found.verdict.kind, found.hook) == ("DROP", "FORWARD")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL", "DROP"),
        ("-p tcp -m conntrack --ctorigdstport 80", "ACCEPT"),
        ("-p tcp --dport 80", "DROP"),
        ("-p tcp --dport 8080", "ACCEPT"),
        ("-m conntrack --ctstate DNAT", "DROP"),
        ("-m conntrack ! --ctstate DNAT", "ACCEPT"),
        ("-m conntrack --ctorigdst 192.0.2.1", "DROP"),
        ("-m conntrack --ctreplsrc 172.17.0.2", "DROP"),
        ("-m conntrack --ctreplsrcport 80", "DROP"),
        ("-o docker0", "DROP"),
        ("-i eth0 -o docker0", "DROP"),
        ("-m addrtype --dst-type LOCAL", "ACCEPT"),
    ],
)
def test_fields_that_rules_see_after_dnat(rule: str, expected: str) -> None:
    assert verdict(docker(f"-A DOCKER-USER {rule} -j DROP"), destination_port=8080) == expected


def test_the_host_reaches_its_containers_port_by_its_own_address() -> None:
    found = trace(docker(), source="192.0.2.1", in_interface=None, destination_port=8080)
    assert (found.hook, found.out_interface, str(found.destination)) == ("OUTPUT", "docker0", "172.17.0.2")
    assert found.verdict.kind == "ACCEPT"


def test_the_host_reaches_itself_through_both_hooks() -> None:
    rules = filtered("-A OUTPUT -o eth0 -j DROP", "-A INPUT -i lo -p tcp --dport 22 -j REJECT")
    found = trace(rules, source="192.0.2.1", in_interface=None)
    assert (found.hook, found.out_interface, found.verdict.kind) == ("OUTPUT", "lo", "REJECT")
    assert verdict(rules, source="192.0.2.1", in_interface=None, destination="203.0.113.5") == "DROP"


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ("*raw\n-A PREROUTING -j DROP\nCOMMIT\n", "DROP"),
        ("*mangle\n-A PREROUTING -j DROP\nCOMMIT\n", "DROP"),
        ("*mangle\n-A INPUT -j DROP\nCOMMIT\n", "DROP"),
        ("*mangle\n-A FORWARD -j DROP\nCOMMIT\n", "ACCEPT"),
        ("*mangle\n-A POSTROUTING -j DROP\nCOMMIT\n", "ACCEPT"),
        ("*mangle\n:INPUT DROP\nCOMMIT\n", "DROP"),
        ("*security\n-A INPUT -j DROP\nCOMMIT\n", "DROP"),
        ("*raw\n-A PREROUTING -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n", "DROP"),
        ("*mangle\n-A PREROUTING -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n", "ACCEPT"),
        (
            "*nat\n-A PREROUTING -p tcp -j REDIRECT --to-ports 23\nCOMMIT\n"
            + filtered("-A INPUT -p tcp --dport 23 -j DROP"),
            "DROP",
        ),
    ],
)
def test_other_tables_can_drop_packets(tables: str, expected: str) -> None:
    assert verdict(tables) == expected


def test_a_later_table_keeps_the_step_of_the_filter_table() -> None:
    rules = "*security\n-A INPUT -s 10.0.0.1 -j DROP\nCOMMIT\n" + filtered("-A INPUT -p tcp -j ACCEPT")
    step = trace(rules).verdict.step
    assert step is not None
    assert (step.table, step.number) == ("filter", 1)


def test_mangle_postrouting_can_drop_outgoing_packets() -> None:
    rules = "*mangle\n-A POSTROUTING -o docker0 -j DROP\nCOMMIT\n"
    assert verdict(rules, destination="172.17.0.9") == "DROP"


def test_untracked_packets_are_not_translated() -> None:
    rules = "*raw\n-A PREROUTING -p tcp --dport 8080 -j CT --notrack\nCOMMIT\n" + docker()
    found = trace(rules, destination_port=8080)
    assert (found.hook, found.destination_port) == ("INPUT", 8080)
    state = filtered("-A INPUT -m conntrack --ctstate UNTRACKED -j DROP")
    assert verdict("*raw\n-A PREROUTING -j CT --notrack\nCOMMIT\n" + state) == "DROP"
    assert verdict("*raw\n-A PREROUTING -j NOTRACK\nCOMMIT\n" + state) == "DROP"
    assert verdict("*raw\n-A PREROUTING -j CT --helper ftp\nCOMMIT\n" + state) == "ACCEPT"
    assert verdict("*raw\n-A PREROUTING -m recent --rcheck -j CT --notrack\nCOMMIT\n" + state) == "UNKNOWN"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("DNAT --to-destination 172.17.0.2", ("172.17.0.2", 22, "FORWARD")),
        ("DNAT --to-destination :2222", ("192.0.2.1", 2222, "INPUT")),
        ("DNAT --to-destination 172.17.0.2:20-30", ("172.17.0.2", 22, "FORWARD")),
        ("DNAT --to-destination 172.17.0.2:80-90", ("172.17.0.2", None, "FORWARD")),
        ("REDIRECT", ("192.0.2.1", 22, "INPUT")),
        ("NETMAP --to 172.17.5.0/24", ("172.17.5.1", 22, "FORWARD")),
    ],
)
def test_translations(target: str, expected: tuple[str, int | None, str]) -> None:
    found = trace(f"*nat\n-A PREROUTING -p tcp -j {target}\nCOMMIT\n")
    assert (str(found.destination), found.destination_port, found.hook) == expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("-m conntrack --ctstatus DNAT", "DROP"),
        ("-m conntrack ! --ctstatus DNAT", "ACCEPT"),
        ("-m conntrack --ctstatus ASSURED", "ACCEPT"),
        ("-m conntrack --ctstate DNAT", "DROP"),
    ],
)
def test_the_status_of_a_translated_connection(match: str, expected: str) -> None:
    rules = docker().replace("-A FORWARD -j DOCKER-USER", f"-A FORWARD {match} -j DROP\n-A FORWARD -j ACCEPT")
    assert verdict(rules, destination_port=8080) == expected


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("LOCAL", "DROP"),
        ("UNICAST", "DROP"),
        ("LOCAL,UNICAST", "DROP"),
        ("MULTICAST", "ACCEPT"),
        ("ANYCAST", "ACCEPT"),
    ],
)
def test_the_type_of_an_unknown_address_of_the_host(types: str, expected: str) -> None:
    """REDIRECT of IPv6 chooses one of the interface's addresses."""
    uplink = interface("eth0", "2001:db8::1/64", "2001:db8::2/64")
    rules = "*nat\n-A PREROUTING -p tcp -j REDIRECT --to-ports 23\nCOMMIT\n" + filtered(
        f"-A INPUT -m addrtype --dst-type {types} -j DROP"
    )
    found = trace(rules, 6, surroundings=Surroundings((uplink,), {6: ("eth0",)}))
    assert (found.destination, found.verdict.kind) == (None, expected)


def test_translations_of_ipv6() -> None:
    found = trace("*nat\n-A PREROUTING -p tcp -j DNAT --to-destination [fd00:17::2]:80\nCOMMIT\n", 6)
    assert (str(found.destination), found.destination_port, found.hook) == ("fd00:17::2", 80, "FORWARD")
    assert (
        str(trace("*nat\n-A PREROUTING -j DNAT --to-destination fd00:17::2\nCOMMIT\n", 6).destination)
        == "fd00:17::2"
    )


def test_a_choice_of_several_addresses_is_unknown() -> None:
    found = trace("*nat\n-A PREROUTING -j DNAT --to-destination 172.17.0.2-172.17.0.9\nCOMMIT\n").verdict
    assert found.kind == "UNKNOWN"
    assert "rule 1 of PREROUTING in nat" in found.reason


def test_an_undecided_translation_follows_both_paths() -> None:
    rules = "*nat\n-A PREROUTING -m recent --rcheck -j DNAT --to-destination 172.17.0.2\nCOMMIT\n"
    assert verdict(rules) == "ACCEPT"
    assert verdict(rules + filtered("-A FORWARD -j DROP")) == "UNKNOWN"
    assert verdict(rules + filtered("-A FORWARD -j DROP", "-A INPUT -j DROP")) == "DROP"
    found = trace(rules, destination_port=8080)
    assert (found.hook, found.destination, found.destination_port) == (None, None, 8080)
    assert "may be redirected" in describe_path(found)


def test_established_connections_skip_nat() -> None:
    assert trace(docker(), destination_port=8080, state="ESTABLISHED").hook == "INPUT"


def test_an_unexpected_icmp_answer_is_invalid() -> None:
    rules = filtered("-A INPUT -m conntrack --ctstate INVALID -j DROP")
    assert verdict(rules, protocol=ICMP, icmp_type=0, icmp_code=0) == "DROP"
    assert verdict(rules, protocol=ICMP, icmp_type=8, icmp_code=0) == "ACCEPT"


def test_a_destination_without_a_single_route_is_unknown_unless_dropped() -> None:
    lost = Surroundings((interface("eth0", "192.0.2.1/24"),))
    assert trace("", surroundings=lost, destination="10.1.2.3").verdict.reason == (
        sentences.no_single_route(sentences.destination("10.1.2.3", 22, has_ports=True))
    )
    assert trace(filtered(":FORWARD DROP"), surroundings=lost, destination="10.1.2.3").verdict.kind == "DROP"
    rules = filtered("-A FORWARD -o eth9 -j DROP", ":FORWARD ACCEPT")
    assert trace(rules, surroundings=lost, destination="10.1.2.3").verdict.kind == "UNKNOWN"


def test_steps_list_every_rule_on_the_path() -> None:
    found = trace(docker("-A DOCKER-USER -s 10.0.0.0/8 -j DROP"), destination_port=8080)
    steps = [(step.table, step.chain, step.number, step.outcome) for step in found.steps]
    assert steps == [
        ("nat", "PREROUTING", 1, "matched"),
        ("nat", "DOCKER", 1, "not matched"),
        ("nat", "DOCKER", 2, "translated"),
        ("", "", 0, "routed"),
        ("filter", "FORWARD", 1, "matched"),
        ("filter", "DOCKER-USER", 1, "not matched"),
        ("filter", "FORWARD", 2, "not matched"),
        ("filter", "FORWARD", 3, "matched"),
        ("filter", "DOCKER", 1, "matched"),
    ]
    container = sentences.destination("172.17.0.2", 80, has_ports=True)
    effect = sentences.rule_effect(
        "incoming interface is not docker0, protocol is tcp, destination port is 8080",
        "-j DNAT --to-destination 172.17.0.2:80",
    )
    assert [step.why for step in found.steps][1:4] == [
        "incoming interface is not docker0",
        sentences.translated(effect, container),
        sentences.routed(container, sentences.leaves_by("docker0")),
    ]
    assert found.steps[5].why == "source is not 10.0.0.0/8"
    assert found.steps[-1] == found.verdict.step


def test_many_rules_that_do_not_match_are_one_step() -> None:
    lines = [f"-A INPUT -p tcp --dport {port} -j DROP" for port in range(100, 130)]
    steps = trace(filtered(*lines, "-A INPUT -j ACCEPT")).steps
    assert [(step.number, step.last, step.outcome) for step in steps[1:]] == [
        (1, 30, "not matched"),
        (31, 0, "matched"),
    ]


def test_a_bridge_port_counts_as_the_bridge() -> None:
    rules = filtered("-A FORWARD -i docker0 -o eth0 -j DROP")
    found = verdict(rules, source="172.17.0.2", destination="203.0.113.5", in_interface="veth1")
    assert found == "DROP"
    bond = Surroundings((interface("bond0", "192.0.2.1/24", kind="bond"), interface("eth0", master="bond0")))
    bonded = "-A INPUT -i bond0 -m physdev ! --physdev-in eth0 -j DROP"
    assert trace(filtered(bonded), surroundings=bond).verdict.kind == "DROP"


def test_the_other_family_is_refused() -> None:
    with pytest.raises(ValueError, match="IPv6"):
        simulate(prepared("", 6), packet(4))


def test_rules_of_output_see_the_interface_from_before_a_translation() -> None:
    # The kernel routes the packet again only after the hook, as observed in a namespace.
    nat = "*nat\n-A OUTPUT -p tcp -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n"
    for interface_name, kind in (("eth0", "DROP"), ("docker0", "ACCEPT")):
        rules = nat + filtered(f"-A OUTPUT -o {interface_name} -j DROP")
        found = trace(rules, in_interface=None, source="192.0.2.1", destination="198.51.100.9")
        assert (found.verdict.kind, found.out_interface) == (kind, "docker0")


def test_packets_to_the_host_itself_can_be_masqueraded() -> None:
    rules = "*nat\n-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\nCOMMIT\n"
    rules += filtered("-A INPUT -s 172.17.0.1 -j DROP")
    for source, kind in (("172.17.0.1", "UNKNOWN"), ("192.0.2.1", "ACCEPT")):
        found = trace(rules, in_interface=None, source=source, destination="192.0.2.1")
        assert found.verdict.kind == kind
        assert ("MASQUERADE" in found.verdict.reason) == (kind == "UNKNOWN")
