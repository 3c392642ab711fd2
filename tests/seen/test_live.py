"""The live page's view: filter, pages, rates, and how long it takes with 10,000 rules."""

from __future__ import annotations

import pytest

from dockerfw.iptables.model import Rule
from rules.models import Host
from rules.seen.kernel_wording import readable_rule
from rules.seen.live_selectors import LiveChain, LiveView, live_view
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot
from tests.rig.kernel_reports import snapshot_store
from tests.rig.redis_fixtures import RedisServer

SAVE = """*nat
:PREROUTING ACCEPT [0:0]
[3:180] -A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [10:1000]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [12:1200]
:FILTERS - [0:0]
:f2b-sshd - [0:0]
[{n}:{b}] -A INPUT -s 192.0.2.0/24 ! -i lo -p tcp -m multiport --dports 22,80 -j f2b-sshd
[1:60] -A f2b-sshd -j RETURN
[2:80] -A FILTERS -p tcp -m tcp --dport 22 -m comment --comment "dockerfw:k3f9" -j RETURN
[4:160] -A FILTERS -p tcp -m tcp --dport 22 -m comment --comment "dockerfw:k3f9" -j RETURN
[0:0] -A FILTERS -m u32 --u32 "0x0=0x1" -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""


def save(packets: int) -> str:
    return SAVE.format(n=packets, b=packets * 100)


def taken(host: Host, text: str, *, age: float = 0.0) -> SnapshotView:
    snapshot_store(host, saves={4: text, 6: ""}, age=age)
    view = latest_snapshot(host)
    assert view is not None
    return view


def chain(view: LiveView, name: str) -> LiveChain:
    return next(chain for table in view.tables for chain in table.chains if chain.name == name)


@pytest.fixture
def local(host: Host, queue: RedisServer) -> Host:
    return host


def test_chains_as_the_kernel_holds_them(local: Host) -> None:
    view = live_view(taken(local, save(7)))
    assert [table.name for table in view.tables] == ["filter", "nat"]
    assert [item.name for item in view.tables[0].chains] == [
        "INPUT",
        "FORWARD",
        "OUTPUT",
        "FILTERS",
        "f2b-sshd",
    ]
    owners = {item.name: item.owner for table in view.tables for item in table.chains}
    assert owners["FILTERS"] == "dockerfw"
    assert owners["f2b-sshd"] == "fail2ban"
    assert owners["INPUT"] == "builtin"
    assert chain(view, "FORWARD").policy == "DROP"
    row = chain(view, "INPUT").rows[0]
    assert row.readable == "from 192.0.2.0/24, not in by lo, tcp, to ports 22, 80"
    assert (row.target, row.jumps_to) == ("f2b-sshd", "f2b-sshd")
    assert (row.packets, row.bytes, row.packets_per_second) == (7, 700, None)
    assert chain(view, "FILTERS").rows[0].rule_key == "k3f9"
    odd = chain(view, "FILTERS").rows[2]
    assert odd.readable == "u32 --u32 0x0=0x1"
    assert odd.target == "REJECT --reject-with icmp-host-prohibited"
    assert view.rules == view.matching == 6


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ("-m limit --limit 3/min", "at most 3/minute"),
        ("-m limit --limit 5/sec --limit-burst 9", "at most 5/second, limit --limit-burst 9"),
        ("-m hashlimit --hashlimit-above 20/hour", "more than 20/hour"),
        (
            "-m hashlimit --hashlimit-upto 6/min --hashlimit-burst 6 --hashlimit-mode srcip"
            " --hashlimit-name dockerfw-aaaa-0 --hashlimit-htable-max 65536 --hashlimit-srcmask 64",
            "at most 6/minute, the first 6 at once, counted by srcip, for at most 65536 of these,"
            " sources by their first 64 bits",
        ),
        (
            "-m time --datestart 2026-01-31T18:00:00 --datestop 2027-01-31T18:00:00",
            "from 2026-01-31T18:00:00 UTC, until 2027-01-31T18:00:00 UTC",
        ),
        (
            "-m conntrack --ctorigdst 192.0.2.1 --ctdir ORIGINAL",
            "dialled address 192.0.2.1, direction ORIGINAL",
        ),
    ],
)
def test_a_limit_reads_as_people_write_it(match: str, words: str) -> None:
    assert readable_rule(Rule("filter", "INPUT", None, f"-A INPUT {match} -j ACCEPT", 1)) == words


def test_rates_since_the_last_look_tell_equal_rules_apart(local: Host) -> None:
    before = taken(local, save(7), age=4)
    now = taken(local, save(27).replace("[4:160]", "[8:320]"), age=2)
    view = live_view(now, previous=before)
    # About two: both looks are dated from when they are made.
    seconds = (now.taken_at - before.taken_at).total_seconds()
    assert view.interval == seconds
    assert chain(view, "INPUT").rows[0].packets_per_second == pytest.approx(20 / seconds)
    assert chain(view, "INPUT").rows[0].bytes_per_second == pytest.approx(2000 / seconds)
    first, second, _ = chain(view, "FILTERS").rows
    assert first.packets_per_second == 0
    assert second.packets_per_second == pytest.approx(4 / seconds)
    backwards = live_view(before, previous=now)
    assert backwards.interval is None
    reset = live_view(taken(local, save(1)), previous=now)
    assert chain(reset, "INPUT").rows[0].packets_per_second is None


def test_the_filter_and_empty_chains(local: Host) -> None:
    snapshot = taken(local, save(7))
    found = live_view(snapshot, query="MULTIport 22")
    assert [item.name for table in found.tables for item in table.chains] == ["INPUT"]
    assert found.matching == 1
    assert [row.number for row in chain(live_view(snapshot, query="filters u32"), "FILTERS").rows] == [3]
    by_chain = live_view(snapshot, query="f2b")
    assert [item.name for item in by_chain.tables[0].chains] == ["INPUT", "f2b-sshd"]
    hidden = live_view(snapshot, hide_empty=True).tables[0]
    assert [item.name for item in hidden.chains] == ["INPUT", "FORWARD", "FILTERS", "f2b-sshd"]
    assert hidden.hidden == 1
    assert live_view(snapshot, query="no such thing").tables == ()


def test_ten_thousand_rules_come_in_pages(local: Host) -> None:
    many = "".join(
        f"[{n}:{n}] -A FILTERS -s 10.{n // 250}.{n % 250}.0/24 -p tcp -m tcp --dport {n} -j RETURN\n"
        for n in range(1, 10_001)
    )
    text = save(7).replace("[1:60] -A f2b-sshd", many + "[1:60] -A f2b-sshd")
    before = taken(local, text, age=4)
    now = taken(local, text.replace("[5000:5000]", "[5004:5004]"), age=2)
    seconds = (now.taken_at - before.taken_at).total_seconds()
    view = live_view(now, previous=before)
    filters = chain(view, "FILTERS")
    last = live_view(now, previous=before, page=51, open_chain=filters.anchor)
    found = live_view(now, previous=before, query="dport 5000")
    assert (len(filters.rows), filters.total, filters.pages, filters.more) == (100, 10_003, 101, True)
    assert chain(last, "FILTERS").rows[0].number == 5001
    assert chain(last, "INPUT").page == 1
    assert chain(found, "FILTERS").rows[0].packets_per_second == pytest.approx(4 / seconds)
    beyond = live_view(now, page=999, open_chain=filters.anchor)
    assert chain(beyond, "FILTERS").page == 101
    assert not chain(beyond, "FILTERS").more
