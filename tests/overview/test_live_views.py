"""The live page: cheap to refresh, and usable with 10,000 rules."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

from dockerfw.iptables.model import Family
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Host, Rule
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
    assert len(page.content) < 200_000
    assert "Page 1 of 100" in text_of(page)
    last = working.get(PATH, {"chain": "v4-filter-f2b-sshd", "page": "100"})
    assert "198.18.39.15/32" in text_of(last)
    assert "page=100" in poll_address(last.content.decode())
    assert "198.18.39.15/32" in text_of(working.get(PATH, {"q": "198.18.39.15/32"}))


@pytest.mark.redis
@pytest.mark.parametrize("query", ["family=7", "page=-1", "page=" + "9" * 50, "chain=%00", "since=x&sha=%F0"])
def test_odd_addresses_show_the_page(working: Client, host: Host, ssh: Rule, query: str) -> None:
    snapshot_store(host, draft_document(host), 1)
    assert working.get(f"{PATH}?{query}").status_code == 200
    assert working.get(f"{POLL}?{query}").status_code == 200
