"""Differences between documents, redundant rules, and descriptions in words."""

from __future__ import annotations

import pytest

from dockerfw.document.coverage import find_covered_rules
from dockerfw.document.diff import diff_documents
from dockerfw.document.words import cidr_echo, describe_rule
from tests.rig.documents import document

SSH = {"id": "sshd", "scope": "host", "protocol": "tcp", "ports": ["22"]}
DB = {"id": "pgsql", "scope": "both", "protocol": "tcp", "ports": ["5432"]}
OFFICE = {"id": "office", "scope": "both", "source": "192.0.2.0/24"}


def test_the_sentence_has_counts_and_what_becomes_reachable() -> None:
    found = diff_documents(document(SSH), document(DB, OFFICE))
    assert found.count == 3
    assert found.sentence == (
        "2 rules added, 1 removed; everything becomes reachable from 192.0.2.0/24; "
        "5432/tcp becomes reachable from anywhere; 22/tcp is no longer reachable from anywhere on the host"
    )
    assert diff_documents(document(SSH), document(SSH)).sentence == "nothing changes"


def test_the_icmp_setting_counts_like_a_rule_of_the_host() -> None:
    ping = {"id": "ping", "scope": "both", "protocol": "icmp", "source": "192.0.2.0/24"}
    accept, refuse = document(), document(icmp="refuse")
    assert diff_documents(accept, document({**ping, "scope": "host"})).reach == ()
    assert diff_documents(accept, document(ping)).reach == (
        "icmp becomes reachable from 192.0.2.0/24 in containers",
    )
    assert diff_documents(document({**ping, "scope": "host"}), accept).reach == ()
    assert diff_documents(refuse, document({**ping, "scope": "host"}, icmp="refuse")).reach == (
        "icmp becomes reachable from 192.0.2.0/24 on the host",
    )
    assert diff_documents(accept, refuse).reach == (
        "icmp is no longer reachable from anywhere on the host",
        "ipv6-icmp is no longer reachable from anywhere on the host",
    )


def test_a_redundant_rule_makes_nothing_reachable() -> None:
    inside = {"id": "inside", "scope": "host", "source": "192.0.2.7", "protocol": "udp", "ports": ["53"]}
    assert diff_documents(document(OFFICE), document(OFFICE, inside)).sentence == "1 rule added"
    assert find_covered_rules(document(OFFICE, inside)) == (("inside", "office"),)
    assert find_covered_rules(document(OFFICE, {**inside, "source": "any"})) == ()


def test_of_two_equal_rules_the_later_is_covered() -> None:
    assert len(find_covered_rules(document(SSH, {**SSH, "id": "other"}))) == 1


def test_ranges_cover_ports() -> None:
    wide = {"id": "wide", "scope": "both", "protocol": "tcp", "ports": ["20-30", "31-9000"]}
    assert find_covered_rules(document(wide, SSH)) == (("sshd", "wide"),)
    many = [{"scope": "host", "protocol": "tcp", "ports": [f"{port}-{port + 3}"]} for port in range(1, 2000)]
    assert find_covered_rules(document(*many)) == ()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("10.9.9.0/24", "256 addresses, 10.9.9.0 to 10.9.9.255"),
        ("192.0.2.7", "1 address, 192.0.2.7"),
        ("2001:db8::/64", "2^64 addresses, 2001:db8:: to 2001:db8::ffff:ffff:ffff:ffff"),
        ("10.9.9.9/24", "256 addresses, 10.9.9.0 to 10.9.9.255 (10.9.9.0/24)"),
    ],
)
def test_addresses_that_a_source_covers(source: str, words: str) -> None:
    assert cidr_echo(source) == words


def test_a_rule_is_described_in_one_line() -> None:
    assert [describe_rule(rule) for rule in document(SSH, DB, OFFICE).rules] == [
        "everything from 192.0.2.0/24 to the host and containers",
        "22/tcp from anywhere to the host",
        "5432/tcp from anywhere to the host and containers",
    ]
