"""Import of a foreign ruleset: the imported rules, and the skipped lines with their reasons."""

from __future__ import annotations

from typing import Any

import pytest

from dockerfw.chains import import_sentences
from dockerfw.chains.importing import Imported, import_rulesets, import_save
from dockerfw.chains.render import render_restore
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.replay import parse_restore
from tests.rig.documents import document, source_of

PORTS = [str(port) for port in range(100, 150, 2)]


def imported(*rules: str) -> Imported:
    """Import a filter table of these rules."""
    head = (":INPUT DROP [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":DOCKER-USER - [0:0]")
    chains = (":f2b-sshd - [0:0]", ":mine - [0:0]")
    return import_save("\n".join(["*filter", *head, *chains, *rules, "COMMIT", ""]))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-A INPUT -p tcp -j f2b-sshd", import_sentences.STAYS["fail2ban"]),
        ("-A INPUT -j mine", import_sentences.jumps_to("mine")),
        ("-A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT", import_sentences.negated("-s")),
        ("-A INPUT -d 10.0.0.1/32 -p tcp -j ACCEPT", import_sentences.no_counterpart("-d 10.0.0.1/32")),
        (
            "-A INPUT -m limit --limit 3/min -j ACCEPT",
            import_sentences.no_counterpart("-m limit --limit 3/minute"),
        ),
        (
            "-A INPUT -m hashlimit --hashlimit-upto 50/sec -j ACCEPT",
            import_sentences.no_counterpart("-m hashlimit --hashlimit-upto 50/second"),
        ),
        (
            "-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT",
            import_sentences.no_counterpart("-m statistic --mode random"),
        ),
        ("-A INPUT -s 192.0.2.1/32 -j DROP", import_sentences.REFUSES),
        (
            "-A INPUT -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT",
            import_sentences.limited_on_interface("eth0"),
        ),
        ("-A INPUT -p tcp", import_sentences.NO_TARGET),
        ("-A INPUT -j LOG --log-prefix hello", import_sentences.unknown_target("LOG")),
        ("-A FORWARD -j ACCEPT", import_sentences.other_chain("FORWARD")),
        ("-A mine -j ACCEPT", import_sentences.other_chain("mine")),
        ("-A DOCKER-USER -j RETURN", import_sentences.STAYS["docker"]),
    ],
)
def test_lines_that_no_rule_can_express_are_listed_with_the_reason(line: str, reason: str) -> None:
    found = imported(line)
    assert found.document.rules == ()
    assert [(skipped.line, skipped.text) for skipped in found.skipped] == [(8, line)]
    assert found.skipped[0].reason.startswith(reason)


def test_a_usual_host_firewall_is_imported() -> None:
    found = imported(
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -i wg0 -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A INPUT -p icmp -j ACCEPT",
        '-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "admins\' ssh" -j ACCEPT',
        "-A INPUT -s 192.0.2.0/24 -p udp -m multiport --dports 53,5000:5010 -j ACCEPT",
        "-A INPUT -j DROP",
    )
    assert found.skipped == ()
    assert found.document.settings.trusted_interfaces == ("lo", "wg0")
    assert found.document.settings.refuse == "drop"
    assert [(rule.scope, source_of(rule), rule.ports, rule.comment) for rule in found.document.rules] == [
        ("host", "any", ("22",), "admins' ssh"),
        ("host", "192.0.2.0/24", ("53", "5000-5010"), ""),
    ]


def test_lines_with_sets_are_read_as_dockerfw_writes_them() -> None:
    text = """*filter
:INPUT ACCEPT [0:0]
:FILTERS - [0:0]
:FILTERS-CONTAINERS - [0:0]
:FILTERS-HOST - [0:0]
-A INPUT -j FILTERS-HOST
-A FILTERS-CONTAINERS -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -m comment --comment "dockerfw:webs" -j RETURN
-A FILTERS-CONTAINERS -j FILTERS
-A FILTERS-HOST -m set --match-set dockerfw4-bridges src,src -j RETURN
-A FILTERS-HOST -p tcp -m tcp --dport 8080 -m set --match-set dockerfw4-proxy dst,dst -m comment --comment "dockerfw:webs" -j RETURN
-A FILTERS-HOST -p tcp -m tcp --dport 9090 -m set --match-set dockerfw4-proxy dst,dst -m comment --comment "dockerfw:lone" -j RETURN
-A FILTERS-HOST -p tcp -m tcp --dport 22 -m set --match-set dockerfw4-bridges src,src -j RETURN
-A FILTERS-HOST -p tcp -m tcp --dport 23 -m set --match-set dockerfw4-proxy src,src -j RETURN
-A FILTERS-HOST -j FILTERS
-A FILTERS -m comment --comment "dockerfw r1 0123456789ab" -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""  # noqa: E501 - lines as iptables-save prints them
    found = import_save(text, by_meaning=False)
    assert found.document.settings.containers_reach_host == "allow"
    assert [(rule.id, rule.scope, rule.ports) for rule in found.document.rules] == [
        ("webs", "container", ("8080",))
    ]
    assert [line.reason for line in found.skipped] == [
        import_sentences.ONLY_DOCKER_PROXY,
        import_sentences.no_counterpart("-m set --match-set dockerfw4-bridges"),
        import_sentences.no_counterpart("-m set --match-set dockerfw4-proxy src,src"),
    ]


def test_notes_name_lines_of_the_file_and_not_paths_of_the_document() -> None:
    found = imported(
        "-A INPUT -i eth0 -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-A DOCKER-USER -i eth0 -j DROP",
    )
    assert [str(note) for note in found.notes] == [
        import_sentences.interface_not_trusted("eth0"),
        import_sentences.ports_inside_containers(1),
        import_sentences.IPV6_TOO,
        "line 10: the same rule as line 9: counted once",
    ]


def test_text_that_is_no_ruleset_names_the_line() -> None:
    with pytest.raises(ParseError, match="line 1"):
        import_save("hello")


def test_lines_with_a_destination_are_rules_for_forwarded_traffic() -> None:
    found = imported(
        "-A DOCKER-USER -i ens33 -s 192.0.2.0/24 -d 192.168.122.10/32 -p tcp -m conntrack --ctorigdstport 22 "
        "--ctdir ORIGINAL -j RETURN",
        "-A DOCKER-USER -i ens33 -d 192.168.122.0/24 -p tcp -m multiport --dports 80,443 -j ACCEPT",
        "-A DOCKER-USER -i ens33 -j DROP",
    )
    assert [
        (rule.scope, source_of(rule), rule.to, rule.ports, rule.port_kind) for rule in found.document.rules
    ] == [
        ("forwarded", "192.0.2.0/24", "192.168.122.10/32", ("22",), "published"),
        ("forwarded", "any", "192.168.122.0/24", ("80", "443"), "container"),
    ]
    assert found.skipped == ()


def test_a_line_with_a_destination_behind_one_that_refuses_is_left_out() -> None:
    found = imported(
        "-A DOCKER-USER -i ens33 -s 198.51.100.0/24 -j DROP",
        "-A DOCKER-USER -i ens33 -d 192.168.122.10/32 -p tcp -m tcp --dport 22 -j RETURN",
        "-A DOCKER-USER -i ens33 -j DROP",
    )
    assert found.document.rules == ()
    assert [(line.line, line.reason) for line in found.skipped] == [
        (8, import_sentences.REFUSES),
        (9, import_sentences.ACCEPTS_LESS),
    ]


def test_rules_for_forwarded_traffic_are_read_back() -> None:
    rules: list[dict[str, Any]] = [
        {"id": "vms1", "scope": "forwarded", "to": "192.168.122.0/24", "protocol": "tcp", "ports": PORTS},
        {"id": "vms2", "scope": "forwarded", "to": "192.168.122.9", "protocol": "udp", "ports": PORTS}
        | {"port_kind": "container", "source": "192.0.2.0/24"},
        {"id": "all1", "scope": "forwarded", "to": "10.9.0.0/16"},
        {"id": "icmp", "scope": "forwarded", "to": "10.9.0.0/16", "protocol": "icmp"},
    ]
    wanted = document(*rules)
    text = "*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n" + render_restore(wanted, 4)
    found = import_rulesets((parse_restore(text),))
    assert found.document == wanted
    assert found.skipped == ()
