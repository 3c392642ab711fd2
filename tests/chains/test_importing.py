"""Import of a foreign ruleset: the imported rules, and the skipped lines with their reasons."""

from __future__ import annotations

import pytest

from dockerfw.chains import sentences
from dockerfw.chains.importing import Imported, import_save
from dockerfw.iptables.errors import ParseError


def imported(*rules: str) -> Imported:
    """Import a filter table of these rules."""
    head = (":INPUT DROP [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":DOCKER-USER - [0:0]")
    chains = (":f2b-sshd - [0:0]", ":mine - [0:0]")
    return import_save("\n".join(["*filter", *head, *chains, *rules, "COMMIT", ""]))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-A INPUT -p tcp -j f2b-sshd", sentences.STAYS["fail2ban"]),
        ("-A INPUT -j mine", sentences.jumps_to("mine")),
        ("-A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT", sentences.negated("-s")),
        ("-A INPUT -d 10.0.0.1/32 -p tcp -j ACCEPT", sentences.no_counterpart("-d 10.0.0.1/32")),
        ("-A INPUT -m limit --limit 3/min -j ACCEPT", sentences.no_counterpart("-m limit --limit 3/minute")),
        (
            "-A INPUT -m hashlimit --hashlimit-upto 50/sec -j ACCEPT",
            sentences.no_counterpart("-m hashlimit --hashlimit-upto 50/second"),
        ),
        (
            "-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT",
            sentences.no_counterpart("-m statistic --mode random"),
        ),
        ("-A INPUT -s 192.0.2.1/32 -j DROP", sentences.REFUSES),
        ("-A INPUT -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT", sentences.limited_on_interface("eth0")),
        ("-A INPUT -p tcp", sentences.NO_TARGET),
        ("-A INPUT -j LOG --log-prefix hello", sentences.unknown_target("LOG")),
        ("-A FORWARD -j ACCEPT", sentences.other_chain("FORWARD")),
        ("-A mine -j ACCEPT", sentences.other_chain("mine")),
        ("-A DOCKER-USER -j RETURN", sentences.STAYS["docker"]),
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
    assert [(rule.scope, rule.source, rule.ports, rule.comment) for rule in found.document.rules] == [
        ("host", "any", ("22",), "admins' ssh"),
        ("host", "192.0.2.0/24", ("53", "5000-5010"), ""),
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
        sentences.interface_not_trusted("eth0"),
        sentences.ports_inside_containers(1),
        sentences.IPV6_TOO,
        "line 10: the same rule as line 9: counted once",
    ]


def test_text_that_is_no_ruleset_names_the_line() -> None:
    with pytest.raises(ParseError, match="line 1"):
        import_save("hello")
