"""The page of refused packets: why, filters, groups, what is not shown, and what can be done about a row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.conf import settings as site
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from dockerfw.agent.sentences import LOG_LEFT_OUT
from dockerfw.chains.list_entries import list_of_networks
from dockerfw.host.sentences import log_group_taken
from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import dump_json
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.list_orders import BoundList
from dockerfw.refused.keeper import READER_GONE
from rules.applying.followed_list_services import lists_follow_all
from rules.audit.actors import Actor
from rules.audit.event_services import console_record
from rules.draft.draft_selectors import draft_document
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create, rule_delete
from rules.link import client
from rules.lists.list_services import list_record
from rules.lists.source_reading import Answer
from rules.models import GroupList, Host, RefusedCount, Revision
from rules.overview import refused_jobs, refused_stream_selectors
from rules.overview.refused_services import refusals_store
from rules.overview.sample_names import REFUSED
from tests.rig.busy_host import busy_store
from tests.rig.confirmed import confirm
from tests.rig.redis_fixtures import RedisServer
from tests.rig.refused import SCANNER, forwarded, refusal, refusals_add, time_text
from tests.rig.samples import minutes_ago, minutes_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/refused/"
POLL = f"{HOST}/refused/poll/"
SUMMARY = f"{HOST}/refused/summary/"
Frozen = Callable[[int], datetime]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read Redis each time: what another test put there is not remembered."""
    # (On Postgres a test's transaction would end with its connection.)
    monkeypatch.setattr("rules.overview.refused_jobs.connections.close_all", lambda: None)
    monkeypatch.setattr(refused_stream_selectors, "EVERY_SECONDS", 0.0)
    refused_stream_selectors.forget_tails()
    refused_jobs._readings.clear()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    """Stop the clock some minutes after now: the page is made anew each minute."""
    began = timezone.now().replace(second=30)

    def stop(minutes: int) -> datetime:
        then = began + timedelta(minutes=minutes)
        monkeypatch.setattr(timezone, "now", lambda: then)
        return then

    return stop


@pytest.fixture
def shop(host: Host, alice: Actor, queue: RedisServer) -> Revision:
    """Revision 1 in the kernel: SSH and the shop's database for the office only."""
    office = {"kind": "static", "entries": ["198.51.100.0/24"]}
    group_create(host=host, actor=alice, name="office", values=office)
    rule_create(
        host=host,
        actor=alice,
        values={"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@office"]},
    )
    values = {"scope": "container", "protocol": "tcp", "ports": ["5432"], "sources": ["@office"]}
    rule_create(host=host, actor=alice, values={**values, "container": "shop/web"})
    revision = confirm(host, alice)
    busy_store(host, draft_document(host), revision.number)
    return revision


def poll_address(page: str) -> str:
    found = re.search(r'hx-get="([^"]+refused/poll/[^"]*)"', page)
    assert found, "the page does not ask for news"
    return found[1].replace("&amp;", "&")


def links(body: str, words: str) -> dict[str, list[str]]:
    """Return the query of the first link whose name begins with words."""
    found = re.search(rf'href="([^"]+)"\s+aria-label="{words}', body)
    assert found, f"no link {words}"
    return parse_qs(urlsplit(found[1].replace("&amp;", "&")).query)


def test_access(signed_in: Client) -> None:
    for path in (PATH, POLL, SUMMARY):
        assert_access(path, signed_in)


def test_without_redis_it_says_so(signed_in: Client) -> None:
    words = text_of(signed_in.get(PATH))
    assert "Redis does not answer" in words
    assert "Nothing was refused in the last hour, as far as it is known." in words


@pytest.mark.redis
def test_nothing_refused_yet(working: Client, shop: Revision) -> None:
    page = working.get(PATH)
    words = text_of(page)
    assert "Nothing was refused in the last hour." in words
    assert "How many more the kernel counted is not known yet." in words
    assert has_no_inline_code(page)


@pytest.mark.redis
def test_rows_say_why_before_and_after_the_clerk_stored_them(
    working: Client, host: Host, shop: Revision
) -> None:
    refusals_add(
        "local",
        [
            refusal(count=412),
            refusal(port=8081),
            forwarded("172.17.0.3", 5432, port=5432),
            refusal(source="198.51.100.7"),
            refusal(port=23, revision=None),
            refusal(port=24, revision=99),
        ],
    )
    for _ in range(2):
        page = working.get(PATH)
        words = text_of(page)
        assert f"{SCANNER} 22/tcp host 22/tcp is allowed only from @office 412" in words
        assert f"{SCANNER} 8081/tcp host no rule allows 8081/tcp 1" in words
        assert "5432/tcp shop/db 5432/tcp is allowed only from @office , to container shop/web" in words
        assert "198.51.100.7 22/tcp host unknown: revision 1 would allow it now" in words
        assert "23/tcp host unknown: the rules did not say which revision they are" in words
        assert "24/tcp host unknown: revision 99 is not known here" in words
        assert "417 packets of the last hour listed." in words
        body = page.content.decode()
        assert f'href="{HOST}/group/office/">@office</a>' in body
        assert f'href="{HOST}/history/99/"' not in body
        assert has_no_inline_code(page)
        refused_jobs.follow_refusals()


@pytest.mark.redis
def test_the_last_day_stands_above_once_there_are_samples(
    working: Client, shop: Revision, host: Host
) -> None:
    assert "Refused per minute, last" not in text_of(working.get(PATH))
    minutes_store(host, REFUSED, [12.0] * 20 + [90.0, 12.0])
    assert "Refused per minute, last hour highest " in text_of(working.get(PATH))
    minutes_store(host, REFUSED, [12.0] * 20, until=minutes_ago(100))
    page = working.get(PATH)
    assert "Refused per minute, last 24 hours highest " in text_of(page)
    assert has_no_inline_code(page)


@pytest.mark.redis
def test_a_filter_is_a_chip_that_a_click_removes(working: Client, shop: Revision) -> None:
    asked = {"source": "203.0.113.0/24", "reason": "no-rule", "q": "<b>", "group": "port"}
    page = working.get(PATH, asked)
    found = re.findall(r'href="\?([^"]*)" aria-label="Remove the filter ([^"]*)"', page.content.decode())
    chips = {unescape(words): parse_qs(unescape(query)) for query, words in found}
    assert chips.keys() == {"Source 203.0.113.0/24", "Why: no rule allows it"}
    assert chips["Source 203.0.113.0/24"] == {"reason": ["no-rule"], "q": ["<b>"], "group": ["port"]}
    wrong = working.get(PATH, {"port": "99999999"}).content.decode()
    assert '<details class="more-filters" open>' in wrong


@pytest.mark.redis
def test_the_revision_of_that_moment_decides(
    working: Client, host: Host, alice: Actor, shop: Revision
) -> None:
    rule = host.rules.get(scope="host")
    rule_delete(host=host, actor=alice, key=rule.key, version=rule.version)
    second = confirm(host, alice)
    refusals_add("local", [refusal(revision=1), refusal(source="203.0.113.9", revision=second.number)])
    page = working.get(PATH)
    words = text_of(page)
    assert f"{SCANNER} 22/tcp host 22/tcp is allowed only from @office revision 1" in words
    assert f'href="{HOST}/history/1/"' in page.content.decode()
    assert "203.0.113.9 22/tcp host no rule allows 22/tcp 1" in words


@pytest.mark.redis
def test_the_simulator_contradicts(working: Client, host: Host, shop: Revision) -> None:
    # The kernel says revision 1 but holds other rules: nothing certain can be said.
    refusals_add("local", [refusal(port=23)])
    assert "no rule allows 23/tcp" in text_of(working.get(PATH))
    open_to_all = replace(
        draft_document(host), rules=(replace(draft_document(host).rules[0], ports=("23",), sources=()),)
    )
    busy_store(host, open_to_all, shop.number)
    assert "unknown: revision 1 would allow it now" in text_of(working.get(PATH))


@pytest.mark.redis
def test_lists_count_as_they_were_then(
    working: Client, host: Host, alice: Actor, shop: Revision, frozen: Frozen
) -> None:
    feed = {"kind": "feed", "url": "https://lists.example.org/cloud"}
    group_create(host=host, actor=alice, name="cloud", values=feed)
    rule = {"scope": "host", "protocol": "tcp", "ports": ["443"], "sources": ["@cloud"]}
    rule_create(host=host, actor=alice, values=rule)
    confirm(host, alice)
    lists_follow_all()
    row = GroupList.objects.get()
    now = frozen(-20)
    list_record(key=row.pk, answer=Answer(list_of_networks(["198.18.0.0/24"])))
    report_lists(host, row, 1)
    for minutes in (1, 10):
        at = now + timedelta(minutes=minutes)
        refusals_add("local", [refusal(at, source=f"203.0.113.{minutes}", port=443, revision=2)])
    frozen(0)
    assert text_of(working.get(PATH, {"group": "none"})).count("allowed only from @cloud") == 1
    words = text_of(working.get(PATH, {"group": "none", "reason": "unknown"}))
    assert "unknown: what @cloud stood for then is not known" in words
    # The host tells when it loaded the version: earlier packets are not judged by it.
    loaded = time_text(now + timedelta(minutes=2))
    event = ConsoleEvent(str(uuid4()), "local", "lists-loaded", "root", loaded, "cloud")
    console_record(event=event)
    assert text_of(working.get(PATH, {"group": "none"})).count("allowed only from @cloud") == 1
    # The source is in the list by now, and the rule would allow it.
    list_record(key=row.pk, answer=Answer(list_of_networks(["203.0.113.0/24", "198.18.0.0/24"])))
    report_lists(host, row, 2)
    assert "allowed only from @cloud" not in text_of(working.get(PATH))
    # The host holds another version than the one in use.
    report_lists(host, row, 7)
    assert "what @cloud stood for then is not known" in text_of(working.get(PATH))


def report_lists(host: Host, row: GroupList, number: int) -> None:
    """Report as a root worker that holds a version of a list."""
    lists = (BoundList(row.definition, number, "0" * 64, "1" * 64, 1, 1, 0),)
    about = About(host.name, time_text(timezone.now()), "1", "boot", 0.0, 60, None, lists=lists, log_group=5)
    client.connection().set(about_key(host.name), dump_json(about.to_json()))


FILTERS = [
    ({"source": "203.0.113.0/24"}, {SCANNER}),
    ({"source": "2001:db8::/32"}, {"2001:db8::7"}),
    ({"port": "5432"}, {"198.18.0.5"}),
    ({"port": "80"}, {"198.18.0.6"}),
    ({"container": "SHOP/db"}, {"198.18.0.5"}),
    ({"container": "host"}, {SCANNER, "2001:db8::7"}),
    ({"reason": "sources"}, {SCANNER, "2001:db8::7", "198.18.0.5"}),
    ({"reason": "no-rule"}, {"198.18.0.6"}),
    ({"q": "office host"}, {SCANNER, "2001:db8::7"}),
    ({"q": "8080/tcp"}, {"198.18.0.6"}),
    ({"q": "nothing like it"}, set()),
]


@pytest.mark.redis
@pytest.mark.parametrize(("asked", "sources"), FILTERS)
@pytest.mark.parametrize("stored", [False, True], ids=["new", "stored"])
def test_filters(
    working: Client, host: Host, shop: Revision, asked: dict[str, str], sources: set[str], stored: bool
) -> None:
    refusals_add(
        "local",
        [
            refusal(),
            refusal(source="2001:db8::7"),
            forwarded("172.17.0.3", 5432, source="198.18.0.5", port=5432),
            forwarded("172.17.0.2", 80, source="198.18.0.6", port=8080),
        ],
    )
    if stored:
        refused_jobs.follow_refusals()
    page = working.get(PATH, asked)
    assert {each.line.kind.source for each in page.context["lines"]} == sources
    # The page that is refreshed keeps the filters.
    query = parse_qs(urlsplit(poll_address(page.content.decode())).query)
    assert {name: query[name] for name in asked} == {name: [text] for name, text in asked.items()}
    if not sources:
        assert "No refused packet of the last hour matches these filters." in text_of(page)


@pytest.mark.redis
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"source": "office"}, "'office' is not an address or network."),
        ({"port": "70000"}, "'70000' is not a port. Use a number from 0 to 65535."),
        ({"since": "yesterday"}, "'yesterday' is not a choice. Use hour, day, week, month."),
    ],
)
def test_a_wrong_filter_is_told_and_stays(
    working: Client, shop: Revision, asked: dict[str, str], sentence: str
) -> None:
    refusals_add("local", [refusal()])
    page = working.get(PATH, asked)
    assert page.status_code == 200
    assert sentence in text_of(page)
    if "since" not in asked:
        assert f'value="{next(iter(asked.values()))}"' in page.content.decode()


@pytest.mark.redis
@pytest.mark.parametrize(
    ("group", "rows"),
    [
        ("pair", ["203.0.113.77 22/tcp host", "203.0.113.77 23/tcp host", "203.0.113.9 22/tcp host"]),
        ("source", ["203.0.113.77 2 ports host", "203.0.113.9 22/tcp host"]),
        ("port", ["2 sources 22/tcp host", "203.0.113.77 23/tcp host"]),
        ("container", ["2 sources 2 ports host"]),
    ],
)
def test_groups(working: Client, shop: Revision, group: str, rows: list[str]) -> None:
    refusals_add("local", [refusal(count=5), refusal(port=23), refusal(source="203.0.113.9")])
    words = text_of(working.get(PATH, {"group": group}))
    for row in rows:
        assert row in words
    assert words.count("Block") == sum("sources" not in row for row in rows)


@pytest.mark.redis
def test_what_can_be_done_about_a_row(working: Client, host: Host, shop: Revision) -> None:
    refusals_add("local", [refusal(), forwarded("172.17.0.3", 5432, port=5432)])
    body = working.get(PATH).content.decode()
    assert links(body, "Allow 22/tcp") == {
        "source": [SCANNER],
        "protocol": ["tcp"],
        "ports": ["22"],
        "scope": ["host"],
    }
    allow = links(body, "Allow 5432/tcp")
    assert (allow["scope"], allow["container"]) == (["container"], ["shop/db"])
    block = links(body, "Block")
    assert block == {"action": ["block"], "source": [SCANNER], "scope": ["both"], "protocol": ["any"]}
    trace = links(body, "Trace 22/tcp")
    assert trace["destination"] == ["192.0.2.1"]
    # The links lead to pages that are filled in.
    form = working.get(f"{HOST}/rules/new/", {name: each[0] for name, each in allow.items()})
    assert 'name="container" value="shop/db"' in form.content.decode()
    assert SCANNER in form.content.decode()
    answer = working.get(f"{HOST}/trace/", {name: each[0] for name, each in trace.items()})
    assert 'data-verdict="REJECT"' in answer.content.decode()


@pytest.mark.redis
def test_a_poll_without_news_is_a_204(working: Client, host: Host, shop: Revision, frozen: Frozen) -> None:
    frozen(0)
    refusals_add("local", [refusal()])
    address = poll_address(working.get(PATH).content.decode())
    assert working.get(address).status_code == 204
    refusals_store(host=host, then=None)
    assert working.get(address).status_code == 204
    refusals_add("local", [refusal(port=23)])
    news = working.get(address)
    assert news.status_code == 200
    assert "23/tcp" in text_of(news)
    assert working.get(poll_address(news.content.decode())).status_code == 204


@pytest.mark.redis
@pytest.mark.parametrize("since", ["hour", "day", "month"])
def test_each_packet_counts_once_while_the_clerk_stores_it(
    working: Client, host: Host, shop: Revision, frozen: Frozen, since: str
) -> None:
    now = frozen(0)
    refusals_add("local", [refusal(now, count=3)], dropped=2)
    for _ in range(2):
        page = working.get(PATH, {"since": since})
        assert [each.line.packets.count for each in page.context["lines"]] == [3]
        totals = page.context["totals"]
        assert (totals.listed, totals.unlisted) == (3, 2)
        refused_jobs.follow_refusals()


@pytest.mark.redis
def test_many_viewers_cost_one_read(
    working: Client, shop: Revision, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    refusals_add("local", [refusal()])
    monkeypatch.setattr(refused_stream_selectors, "EVERY_SECONDS", 3600.0)
    working.get(PATH)
    before = _stream_reads(redis_server)
    for _ in range(10):
        working.get(POLL)
    assert _stream_reads(redis_server) == before


def _stream_reads(server: RedisServer) -> int:
    stats: Any = server.client().info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("xread", "xrevrange"))


@pytest.mark.redis
def test_what_is_not_shown_is_told(working: Client, host: Host, shop: Revision) -> None:
    now = timezone.now()
    for minutes, packets in ((50, 1_000), (20, 1_300), (10, 20)):
        RefusedCount.objects.create(host=host, at=now - timedelta(minutes=minutes), packets=packets)
    refusals_add("local", [refusal(now - timedelta(minutes=30), count=100)], dropped=7)
    refused_jobs._readings.clear()
    refusals_store(host=host, then=None)
    words = text_of(working.get(PATH))
    assert "100 packets of the last hour listed, 7 more only counted" in words
    # 300 until the counters began again, then 20.
    assert "The kernel counted 320 from" in words
    assert "220 of them are not shown." in words


@pytest.mark.redis
def test_a_revision_without_the_log(working: Client, host: Host, alice: Actor, shop: Revision) -> None:
    host.log_refused = False
    host.save()
    confirm(host, alice)
    words = text_of(working.get(PATH))
    assert "Refused packets are only counted: the log is off in revision 2." in words


@pytest.mark.redis
@pytest.mark.parametrize("problem", [log_group_taken(7373, "ulogd (812)"), READER_GONE, LOG_LEFT_OUT])
def test_why_nothing_is_read_is_said_once(working: Client, host: Host, shop: Revision, problem: str) -> None:
    about = About(host.name, time_text(timezone.now()), "1", "boot", 0.0, 60, None, log_problem=problem)
    client.connection().set(about_key(host.name), dump_json(about.to_json()))
    words = text_of(working.get(PATH))
    assert f"R{problem[1:]}." in words
    assert words.count("efused packets are not") == 1


@pytest.mark.redis
def test_shortened_addresses(working: Client, shop: Revision, settings: Settings) -> None:
    settings.ENVIRONMENT = replace(site.ENVIRONMENT, refused_shorten=True)
    refusals_add("local", [refusal()])
    page = working.get(PATH)
    assert SCANNER not in page.content.decode()
    assert "203.0.113.0/24 22/tcp host 22/tcp is allowed only from @office" in text_of(page)
    assert "source" not in links(page.content.decode(), "Trace 22/tcp")


@pytest.mark.redis
def test_pages_keep_the_filters(working: Client, shop: Revision) -> None:
    refusals_add("local", [refusal(port=port) for port in range(1000, 1120)])
    page = working.get(PATH, {"q": "tcp", "page": "2"})
    assert "51 to 100 of 120" in text_of(page)
    assert "q=tcp&amp;page=3" in page.content.decode()
    assert "page=2" in poll_address(page.content.decode())


@pytest.mark.redis
def test_the_dashboard_shows_the_top(working: Client, shop: Revision) -> None:
    refusals_add("local", [refusal(count=9), refusal(source="203.0.113.9", port=23)])
    assert "Recently refused" in text_of(working.get(f"{HOST}/"))
    page = working.get(SUMMARY)
    words = text_of(page)
    assert f"{SCANNER} 22/tcp host" in words
    assert "Ports refused most 22/tcp host 9 23/tcp host 1" in words
    assert f'href="{PATH}?source={SCANNER}"' in page.content.decode()
    assert has_no_inline_code(page)
