"""The verbs `groups` and `rules`: lists, one group, an address, a search, and errors of one sentence."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from dockerfw.host.observation import unread_snapshot
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.surroundings import RuleUse, RuleUses
from rules.applying.followed_list_services import lists_follow_all
from rules.audit.actors import Actor
from rules.draft.group_services import group_create
from rules.draft.rule_selectors import rule_rows
from rules.draft.rule_services import rule_create
from rules.models import AuditEvent, Host
from rules.seen.snapshot_selectors import SnapshotView

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_queue")]


def run(*words: str) -> tuple[int, str, str]:
    """Run a verb; return its status, its output and its errors."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("firewall", *words, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def values(*words: str) -> Any:
    """Run a verb with --json and return what it printed."""
    status, out, _ = run(*words, "--json")
    assert status in (0, 1)
    return json.loads(out)


@pytest.fixture
def office(host: Host, alice: Actor) -> str:
    """A group with a rule that names it, a feed, and a rule for anyone; returns the rule's key."""
    entries = ["203.0.113.0/24", "2001:db8:1::/48"]
    group_create(host=host, actor=alice, name="office", values={"entries": entries, "comment": "both sites"})
    group_create(
        host=host, actor=alice, name="cloud", values={"kind": "feed", "url": "https://example.org/x"}
    )
    web = {"scope": "host", "protocol": "tcp", "ports": ["443"], "comment": "web"}
    rule_create(host=host, actor=alice, values=web)
    ssh = {**web, "ports": ["22"], "sources": ["@office"], "comment": "ssh", "tags": ["ops"]}
    return rule_create(host=host, actor=alice, values=ssh).key


def test_groups_are_listed(office: str) -> None:
    status, out, _ = run("groups")
    assert status == 0
    assert "@office, 2 entries  used by 1 rule  new\n" in out
    assert "@cloud, the feed https://example.org/x, fetched each 24 h  used by no rule  new  " in out
    cloud, listed = values("groups", "list")
    assert (listed["name"], listed["ipv4"], listed["ipv6"], listed["used_by"]) == ("office", 1, 1, [office])
    assert cloud["state"].startswith("Not fetched yet")


def test_one_group_is_shown(office: str) -> None:
    status, out, _ = run("groups", "show", "@office")
    assert status == 0
    assert out.splitlines() == [
        "@office, 2 entries",
        "both sites",
        "256 IPv4 addresses, 1 × IPv6 /48 in 2 networks after merging",
        f"used by {office}  22/tcp from @office to the host",
        "203.0.113.0/24",
        "2001:db8:1::/48",
    ]
    assert values("groups", "show", "office")["entries"] == ["203.0.113.0/24", "2001:db8:1::/48"]


def test_an_address_is_found(office: str) -> None:
    status, out, _ = run("groups", "find", "203.0.113.7")
    assert status == 0
    assert out.splitlines() == [
        "@office  by 203.0.113.0/24",
        f"{office}  22/tcp from @office to the host",
        "for any source: 1 rule",
        "not searched: @cloud",
    ]
    status, out, _ = run("groups", "find", "192.0.2.1")
    assert status == 1
    assert "no group with addresses and no rule with a source holds 192.0.2.1" in out
    found = values("groups", "find", "203.0.0.0/8")
    assert found["groups"] == [{"name": "office", "entries": [], "inside": 1}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("groups", "show"), "groups show needs a NAME\n"),
        (("groups", "refresh"), "groups refresh needs a NAME\n"),
        (
            ("groups", "refresh", "office"),
            "there is no feed and there are no DNS names or countries of a group @office yet\n",
        ),
        (("groups", "find"), "groups find needs an ADDRESS\n"),
        (("groups", "show", "nobody"), "there is no group @nobody\n"),
        (("groups", "find", "moon"), "moon is not an IPv4 or IPv6 address or network\n"),
        (("groups", "list", "office"), "list takes no name. Use: groups show office\n"),
        (("rules", "--host", "moon"), "there is no host moon\n"),
        (("rules", "tag:ops", "port:70000"), "port:70000: 70000 is not a port (1 to 65535)\n"),
        (("rules", "unused:2026-13-01"), "unused:2026-13-01: 2026-13-01 is not a day. Use YYYY-MM-DD\n"),
    ],
    ids=str,
)
def test_an_error_is_one_sentence(office: str, words: tuple[str, ...], said: str) -> None:
    assert run(*words) == (2, "", said)


def test_rules_are_listed_and_searched(office: str) -> None:
    status, out, err = run("rules", "@office", "tag:ops")
    assert status == 0
    assert out.splitlines() == [
        f"{office:<8} {'-':>9}  {'-':<16}  22/tcp from @office to the host  (ssh)  new"
    ]
    assert "hits are unknown" in err
    assert len(run("rules")[1].splitlines()) == 2
    assert run("rules", "203.0.113.9")[1].count("\n") == 1
    assert run("rules", "nothing")[1] == "no rule matches\n"
    (rule,) = values("rules", "port:22")
    assert (rule["id"], rule["sources"], rule["packets"], rule["change"]) == (
        office,
        ["@office"],
        None,
        "new",
    )


def test_rules_are_listed_by_their_last_use(office: str, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(row.key for row in rule_rows(host) if row.key != office)
    uses = RuleUses("2026-10-01T00:00:00Z", (other,), (RuleUse(office, "2026-11-05T08:30:00Z"),))
    seen = replace(unread_snapshot(host.name, ""), uses=uses)
    known = SnapshotView(seen, {4: parse_save(""), 6: parse_save("")}, timezone.now(), None)
    monkeypatch.setattr("rules.command_line.grouped.latest_snapshot", lambda _: known)
    assert "  2026-11-05 08:30  22/tcp from @office" in run("rules", "@office")[1]
    (rule,) = values("rules", "@office")
    assert (rule["last_hit"], rule["counted_since"]) == ("2026-11-05T08:30:00Z", "2026-10-01T00:00:00Z")
    _, out, err = run("rules", "--unused-since", "2026-11-05")
    assert [line.split()[0] for line in out.splitlines()] == [other]
    assert "the root worker counts the use of rules since 2026-10-01T00:00:00Z" in err
    assert run("rules", "--unused-since", "2026-09-30")[1] == "no rule matches\n"


def test_a_list_is_fetched_again(office: str) -> None:
    assert run("groups", "refresh", "cloud")[0] == 2
    lists_follow_all()
    status, out, _ = run("groups", "refresh", "@cloud")
    assert (status, out) == (0, "requested: the clerk fetches @cloud next; see it with: groups show cloud\n")
    assert AuditEvent.objects.filter(verb="list-refresh", target="cloud").count() == 1
