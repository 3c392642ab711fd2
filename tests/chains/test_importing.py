"""Somebody's ruleset as a document: what is taken, what is left out, and why."""

from __future__ import annotations

import pytest

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
        ("-A INPUT -p tcp -j f2b-sshd", "fail2ban's own"),
        ("-A INPUT -j mine", "it calls the chain mine"),
        ("-A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT", "it says what must not match (! -s)"),
        ("-A INPUT -d 10.0.0.1/32 -p tcp -j ACCEPT", "a rule cannot say -d 10.0.0.1/32"),
        ("-A INPUT -m limit --limit 3/min -j ACCEPT", "a rule cannot say -m limit --limit 3/minute"),
        (
            "-A INPUT -m hashlimit --hashlimit-upto 50/sec -j ACCEPT",
            "a rule cannot say -m hashlimit --hashlimit-upto 50/second",
        ),
        (
            "-A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT",
            "a rule cannot say -m statistic --mode random",
        ),
        ("-A INPUT -s 192.0.2.1/32 -j DROP", "it refuses"),
        ("-A INPUT -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT", "it holds for the interface eth0 only"),
        ("-A INPUT -p tcp", "it has no target"),
        ("-A INPUT -j LOG --log-prefix hello", "-j LOG does something"),
        ("-A FORWARD -j ACCEPT", "the chain FORWARD is not one"),
        ("-A mine -j ACCEPT", "the chain mine is not one"),
        ("-A DOCKER-USER -j RETURN", "Docker's own"),
    ],
)
def test_what_cannot_be_said_is_listed_with_the_reason(line: str, reason: str) -> None:
    found = imported(line)
    assert found.document.rules == ()
    assert [(skipped.line, skipped.text) for skipped in found.skipped] == [(8, line)]
    assert found.skipped[0].reason.startswith(reason)


def test_a_usual_host_firewall_is_taken() -> None:
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


def test_notes_are_sentences_about_the_file_and_know_no_paths_of_a_document() -> None:
    found = imported(
        "-A INPUT -i eth0 -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-A DOCKER-USER -i eth0 -j DROP",
    )
    assert [str(note) for note in found.notes] == [
        "The interface eth0 is external, so it is not trusted.",
        "In 1 rule for containers --dport is the port inside the container, not the published one. "
        "That is kept; check what was meant.",
        "Rules without a source will hold for IPv6 as well as for IPv4.",
        "line 10: the same rule as line 9: it is kept once",
    ]


def test_what_is_no_ruleset_says_where() -> None:
    with pytest.raises(ParseError, match="line 1"):
        import_save("hello")
