"""Who filters beside iptables: which of nftables' tables are somebody's own, and the sentence about them."""

from __future__ import annotations

import pytest

from dockerfw.chains.foreign_tables import describe_tables, foreign_tables, has_filter_chain

LISTING = """table ip nat
table ip filter
table ip6 filter
table ip security
table bridge filter
table ip docker-bridges
table inet firewalld
table ip6 filtering
table netdev f2b-table
"""
FIREWALLD = """table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
	}
}
"""
ONLY_SENDS = """table inet mine {
	chain out {
		type filter hook output priority filter; policy accept;
	}
	chain source {
		type nat hook postrouting priority srcnat; policy accept;
	}
	chain type_filter {
		tcp dport 22 drop comment "type filter hook input"
	}
}
"""


def test_only_what_iptables_does_not_show_counts() -> None:
    assert foreign_tables(LISTING) == ("inet firewalld", "ip6 filtering", "netdev f2b-table")
    assert foreign_tables("") == ()


def test_a_table_that_can_refuse_nothing_does_not_count() -> None:
    assert has_filter_chain(FIREWALLD)
    assert not has_filter_chain(ONLY_SENDS)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ((), ""),
        (("inet firewalld",), "firewalld filters in a table of nftables' own (inet firewalld), which"),
        (("inet mine",), "Somebody filters in a table of nftables' own (inet mine), which"),
        (
            ("inet f2b-table", "inet firewalld"),
            "fail2ban and firewalld filter in tables of nftables' own (inet f2b-table, inet firewalld)",
        ),
        (tuple(f"ip t{number}" for number in range(7)), "(ip t0, ip t1, ip t2, ip t3, ip t4 and 2 more)"),
    ],
)
def test_who_filters_is_named(tables: tuple[str, ...], sentence: str) -> None:
    assert sentence in describe_tables(tables)
