"""nftables tables of other software: found in nft's listing, and named in one sentence."""

from __future__ import annotations

import pytest

from dockerfw.chains.foreign_tables import changes_destinations, foreign_tables, has_filter_chain
from dockerfw.chains.sentences import describe_tables, describe_tables_inline

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


def test_only_tables_that_iptables_does_not_show_count() -> None:
    assert foreign_tables(LISTING) == ("inet firewalld", "ip6 filtering", "netdev f2b-table")
    assert foreign_tables("") == ()


def test_a_table_without_an_input_or_forward_filter_does_not_count() -> None:
    assert has_filter_chain(FIREWALLD)
    assert not has_filter_chain(ONLY_SENDS)


REDIRECTS = """table inet web {
	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 443 redirect to :5000
	}
}
"""


def test_a_table_that_changes_destinations() -> None:
    assert changes_destinations(REDIRECTS)
    assert not has_filter_chain(REDIRECTS)
    assert changes_destinations(REDIRECTS.replace("redirect to :5000", "dnat ip to 10.0.0.5:8443"))
    assert not changes_destinations(REDIRECTS.replace("redirect to :5000", 'accept comment "redirect"'))
    assert not changes_destinations(REDIRECTS.replace("nat hook prerouting", "nat hook output"))
    assert not changes_destinations(FIREWALLD)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ((), ""),
        (
            ("inet firewalld",),
            "firewalld filters in an nftables table that iptables does not show (inet firewalld): ",
        ),
        (
            ("inet mine",),
            "Other software filters in an nftables table that iptables does not show (inet mine): ",
        ),
        (
            ("inet f2b-table", "inet firewalld"),
            "fail2ban and firewalld filter in nftables tables that iptables does not show "
            "(inet f2b-table, inet firewalld): ",
        ),
        (tuple(f"ip t{number}" for number in range(7)), "(ip t0, ip t1, ip t2, ip t3, ip t4 and 2 more)"),
    ],
)
def test_the_owners_of_the_tables_are_named(tables: tuple[str, ...], sentence: str) -> None:
    assert sentence in describe_tables(tables)


def test_the_sentence_fits_after_another_clause() -> None:
    assert describe_tables_inline(("inet mine",)).startswith("other software filters ")
    assert describe_tables(("inet firewalld",)) == f"{describe_tables_inline(('inet firewalld',))}."
    assert describe_tables_inline(()) == ""
