"""The live page: cheap to refresh, and usable with 10,000 rules."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils.safestring import SafeString
from pytest_django import DjangoAssertNumQueries

from dockerfw.iptables.model import FAMILIES, Family
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Host, Rule
from rules.overview import live_views
from rules.seen.live_selectors import LiveView, live_view
from tests.rig.kernel_reports import save_of, snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/live/"
POLL = f"{HOST}/live/poll/"


@pytest.fixture
def ssh(host: Host, alice: Actor) -> Rule:
    """A rule that the kernel will hold."""
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
    return rule_create(host=host, actor=alice, values=values)


def poll_address(page: str) -> str:
    """Return the address that the page polls."""
    found = re.search(r'hx-get="([^"]+poll/[^"]*)"', page)
    assert found, "the page does not ask for news"
    return found[1].replace("&amp;", "&")


def test_access(signed_in: Client) -> None:
    assert_access(PATH, signed_in)
    assert_access(POLL, signed_in, status=204)


def test_without_a_snapshot_it_says_why(signed_in: Client) -> None:
    words = text_of(signed_in.get(PATH))
    assert "Unknown: there is no report of what the kernel holds." in words
    assert "Redis does not answer" in words


@pytest.mark.redis
def test_chains_with_owner_words_and_counters(working: Client, host: Host, ssh: Rule) -> None:
    snapshot_store(host, draft_document(host), 1, packets=1500)
    page = working.get(PATH)
    words = text_of(page)
    assert "FILTERS-HOST dockerfw" in words
    assert "DOCKER-USER Docker" in words
    assert "INPUT built in policy ACCEPT" in words
    assert f"to port 22 rule {ssh.key}" in words
    assert f'--comment "dockerfw:{ssh.key}" -j RETURN' in words
    assert "RETURN 1 500 packets 90 kB" in words
    assert 'href="#v4-filter-FILTERS-HOST"' in page.content.decode()
    assert has_no_inline_code(page)
    assert "icmp6-adm-prohibited" in text_of(working.get(PATH, {"family": "6"}))


@pytest.mark.redis
def test_a_poll_without_news_is_a_204_with_the_time(working: Client, host: Host, ssh: Rule) -> None:
    snapshot_store(host, draft_document(host), 1)
    address = poll_address(working.get(PATH).content.decode())
    taken = snapshot_store(host, draft_document(host), 1)
    answer = working.get(address)
    assert (answer.status_code, answer.content) == (204, b"")
    assert json.loads(answer["HX-Trigger"])["live-seen"]["taken_at"] == taken.isoformat()


@pytest.mark.redis
@pytest.mark.parametrize("news", [True, False])
def test_a_poll_asks_the_database_and_redis_once_each(
    working: Client,
    host: Host,
    ssh: Rule,
    news: bool,
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = draft_document(host)
    snapshot_store(host, document, 1, packets=10)
    address = poll_address(working.get(PATH).content.decode())
    if news:
        snapshot_store(host, document, 1, packets=30, age=-1)
        working.get(address)
    asked, ask = [], client._ask

    def count(call: Callable[[], object]) -> object:
        asked.append(call)
        return ask(call)

    monkeypatch.setattr(client, "_ask", count)
    # The session, its user, the host, an unfinished apply, and the newest ones.
    with django_assert_num_queries(5):
        answer = working.get(address)
    assert answer.status_code == (200 if news else 204)
    # Whether it may ask for a look, the head of the snapshot, and what the root worker says of lists.
    assert len(asked) == 3


@pytest.mark.redis
def test_the_page_and_its_frame_are_of_one_look(
    working: Client, host: Host, ssh: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_store(host, draft_document(host), 1)
    heads, read = [], client.snapshot_head

    def count(name: str) -> bytes:
        heads.append(name)
        return read(name)

    working.get(PATH)
    monkeypatch.setattr(client, "snapshot_head", count)
    words = text_of(working.get(PATH))
    assert len(heads) == 1
    assert "Nothing has been applied yet" in words


@pytest.mark.redis
def test_viewers_share_what_is_rendered_until_anything_differs(
    working: Client, host: Host, ssh: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def count(*arguments: object, **filters: object) -> LiveView:
        made.append(filters)
        return live_view(*arguments, **filters)  # type: ignore[arg-type]

    monkeypatch.setattr(live_views, "live_view", count)
    document = draft_document(host)
    before = snapshot_store(host, document, 1, packets=10, age=6)
    pages = [working.get(PATH).content, working.get(PATH).content]
    assert len(made) == 1
    since = before.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    snapshot_store(host, document, 1, packets=30, age=2)
    differing: list[dict[str, str]] = [
        {},
        {"since": since},
        *({"since": since, **other} for other in ({"family": "6"}, {"q": "22"}, {"empty": "hide"})),
        {"chain": "v4-filter-FILTERS"},
        {"chain": "v4-filter-FILTERS", "page": "2"},
        {"chains": "1"},
        {"opened": "yes"},
        {"opened": "yes", "open": "v4-filter-FILTERS"},
    ]
    for place, query in enumerate(differing, start=2):
        pages.append(working.get(POLL, query).content)
        assert working.get(POLL, query).status_code == 200
        assert len(made) == place, query
    assert b"30 packets" not in pages[1]
    assert b"30<span" in pages[2]
    assert b'class="rate"' in pages[3]
    assert b'class="rate"' not in pages[2]


@pytest.mark.redis
def test_of_a_look_only_chains_that_changed_are_rendered(
    working: Client, host: Host, ssh: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []

    def count(template: str, context: dict[str, Any]) -> SafeString:
        rendered.append(getattr(context.get("chain"), "name", template))
        return render_to_string(template, context)

    monkeypatch.setattr(live_views, "render_to_string", count)
    document = draft_document(host)
    saves: dict[Family, str] = {family: save_of(document, family, 1, packets=7) for family in FAMILIES}
    snapshot_store(host, saves=saves, age=4)
    first = working.get(PATH).content.decode()
    assert rendered.count("FILTERS-HOST") == 1
    rendered.clear()
    hit = re.search(r"\[7:420\] -A FILTERS-HOST", saves[4])
    assert hit
    saves[4] = saves[4].replace(hit[0], "[9:540] -A FILTERS-HOST", 1).replace("[10:1000]", "[11:1060]")
    snapshot_store(host, saves=saves, age=2, forget=False)
    second = working.get(PATH).content.decode()
    assert sorted(rendered) == ["FILTERS-HOST", "INPUT", "overview/live_tables.html"]
    assert ("9<span" in first, "9<span" in second) == (False, True)
    # Links of a search lead back to it.
    rendered.clear()
    words = text_of(working.get(PATH, {"q": "filters"}))
    assert "FILTERS-HOST" in rendered
    assert re.search(r"\d of \d+ rules", words)


@pytest.mark.redis
def test_a_poll_with_news_shows_rates_that_go_back_to_zero(working: Client, host: Host, ssh: Rule) -> None:
    document = draft_document(host)
    snapshot_store(host, document, 1, packets=10, age=4)
    address = poll_address(working.get(PATH).content.decode())
    snapshot_store(host, document, 1, packets=30, age=2)
    news = working.get(address)
    # Two seconds lie between both looks, and what storing them took.
    rate = re.search(r"30 packets (\d+\.\d)/s", text_of(news))
    assert rate is not None
    assert 0 < float(rate[1]) <= 10
    snapshot_store(host, document, 1, packets=30)
    rest = working.get(poll_address(news.content.decode()))
    assert rest.status_code == 200
    assert "/s" not in text_of(rest)
    snapshot_store(host, document, 1, packets=30)
    assert working.get(poll_address(rest.content.decode())).status_code == 204


@pytest.mark.redis
def test_filter_and_hidden_empty_chains(working: Client, host: Host, ssh: Rule) -> None:
    snapshot_store(host, draft_document(host), 1)
    words = text_of(working.get(PATH, {"q": "dport 22"}))
    assert '1 matches "dport 22"' in words
    assert "FILTERS-CONTAINERS" not in words
    assert 'No IPv4 rule matches "nothing"' in text_of(working.get(PATH, {"q": "nothing"}))
    assert "policy ACCEPT decides" in text_of(working.get(PATH))
    assert "OUTPUT" not in text_of(working.get(PATH, {"empty": "hide"}))


@pytest.mark.redis
def test_ten_thousand_rules_stay_a_small_page(working: Client, host: Host, ssh: Rule) -> None:
    bans = "".join(
        f"[0:0] -A f2b-sshd -s 198.18.{number >> 8}.{number & 255}/32 -j DROP\n" for number in range(10_000)
    )
    text = save_of(draft_document(host), 4, 1).replace(":DOCKER ", ":f2b-sshd - [0:0]\n:DOCKER ", 1)
    saves: dict[Family, str] = {4: text.replace("COMMIT", f"{bans}COMMIT"), 6: text}
    snapshot_store(host, saves=saves)
    page = working.get(PATH)
    assert len(page.content) < 100_000
    # A long chain is folded; opening it asks for its first page.
    assert "198.18.0.0/32" not in text_of(page)
    assert "f2b-sshd fail2ban 10 000 rules Show the rules" in text_of(page)
    shown = working.get(f"{poll_address(page.content.decode())}&show=yes&opened=yes&open=v4-filter-f2b-sshd")
    assert "Page 1 of 100" in text_of(shown)
    assert "198.18.0.0/32" in text_of(shown)
    # Others that were open before are not any more.
    assert "dpt:22" not in text_of(shown)
    assert "to port 22" not in text_of(shown)
    last = working.get(PATH, {"chain": "v4-filter-f2b-sshd", "page": "100"})
    assert "198.18.39.15/32" in text_of(last)
    assert "page=100" in poll_address(last.content.decode())
    assert "198.18.39.15/32" in text_of(working.get(PATH, {"q": "198.18.39.15/32"}))


@pytest.mark.redis
def test_many_chains_come_in_pages(working: Client, host: Host, ssh: Rule) -> None:
    chains = [f"ufw-{number:03d}" for number in range(500)]
    text = save_of(draft_document(host), 4, 1)
    text = text.replace(":DOCKER ", "".join(f":{name} - [0:0]\n" for name in chains) + ":DOCKER ", 1)
    rules = "".join(
        f"[0:0] -A {name} -s 198.18.0.{place % 250}/32 -j DROP\n" for place, name in enumerate(chains)
    )
    jump = f"[0:0] -A INPUT -j {chains[400]}\n"
    saves: dict[Family, str] = {4: text.replace("COMMIT", f"{rules}{jump}COMMIT"), 6: text}
    snapshot_store(host, saves=saves)
    page = working.get(PATH)
    assert len(page.content) < 100_000
    assert "Chains 1 to 40 of 508" in text_of(page)
    second = working.get(PATH, {"chains": "2"})
    assert "Chains 41 to 80 of 508" in text_of(second)
    assert "chains=2" in poll_address(second.content.decode())
    # A jump to a chain of another page leads there.
    found = re.search(r'href="([^"]*)#v4-filter-ufw-400">', page.content.decode())
    assert found
    there = working.get(PATH + found[1].replace("&amp;", "&"))
    assert 'id="v4-filter-ufw-400" open' in there.content.decode()
    assert "from 198.18.0.150/32" in text_of(there)
    assert "Chains 1 to 1 of 1" not in text_of(working.get(PATH, {"q": "ufw-499"}))
    assert "ufw-499" in text_of(working.get(PATH, {"q": "ufw-499"}))


@pytest.mark.redis
@pytest.mark.parametrize(
    "query",
    [
        "chains=999",
        "opened=yes&open=" + "x" * 300,
        "family=7",
        "page=-1",
        "page=" + "9" * 50,
        "chain=%00",
        "since=x&sha=%F0",
    ],
)
def test_odd_addresses_show_the_page(working: Client, host: Host, ssh: Rule, query: str) -> None:
    snapshot_store(host, draft_document(host), 1)
    assert working.get(f"{PATH}?{query}").status_code == 200
    assert working.get(f"{POLL}?{query}").status_code == 200
