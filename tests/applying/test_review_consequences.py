"""The effects on the review page: outside access, expectations, and a lock-out of the caller."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from dockerfw.chains.sentences import foreign_jump
from dockerfw.messages.surroundings import Interface, ListeningSocket
from dockerfw_site.environment import read_environment
from rules.applying import proposal_selectors as proposals
from rules.audit.actors import Actor
from rules.draft.draft_selectors import base_document, draft_document, settings_mark
from rules.draft.draft_services import draft_touch
from rules.draft.expectation_services import expectation_create
from rules.draft.rule_services import rule_create
from rules.models import Apply, AuditEvent, Host, Rule
from tests.applying.test_review_views import order
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import CLEAN, snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
PATH = f"{HOST}/review/"
OFFICE = "203.0.113.0/24"
AWAY = {"REMOTE_ADDR": "203.0.113.7", "SERVER_PORT": "8000", "HTTP_HOST": "localhost:8000"}
EXPECTED = {"protocol": "tcp", "port": 443, "passes": True, "comment": "the shop"}


BY_HAND = """*filter
:INPUT ACCEPT [0:0]
:FILTERS - [0:0]
-A INPUT -p tcp -j FILTERS
-A FILTERS -j DROP
COMMIT
"""


@pytest.fixture
def ssh(host: Host, alice: Actor, working: Client) -> Rule:
    """A pending rule that allows SSH from the office only; the kernel holds no dockerfw rules."""
    snapshot_store(host, None)
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "source": OFFICE}
    return rule_create(host=host, actor=alice, values=values)


def test_the_effect_on_outside_access_is_on_top(working: Client, host: Host, ssh: Rule) -> None:
    page = working.get(PATH)
    words = text_of(page)
    sentence = "22/tcp of the host is reachable from 203.0.113.0/24 only, no longer from anywhere"
    assert words.index("Effect on outside access") < words.index(sentence) < words.index("1 rule added")
    assert has_no_inline_code(page)


def test_a_client_on_the_host_itself_is_not_locked_out(working: Client, host: Host, ssh: Rule) -> None:
    words = text_of(working.get(PATH))
    assert "You keep your access. Your address is 127.0.0.1 ." in words
    assert "This dashboard: yes, you are on the host itself (127.0.0.1)." in words
    assert 'name="anyway"' not in working.get(PATH).content.decode()
    assert working.post(PATH, order(host)).status_code == 302
    event = AuditEvent.objects.get(verb="apply-start")
    assert event.after is not None
    assert "anyway" not in event.after


def test_a_lock_out_needs_the_word(working: Client, host: Host, ssh: Rule) -> None:
    page = working.get(PATH, **AWAY)  # type: ignore[arg-type]
    words = text_of(page)
    assert "This would lock you out. Your address is 203.0.113.7 ." in words
    assert (
        "This dashboard: no, 203.0.113.7 would be refused at 8000/tcp by rule 1 of filter FILTERS." in words
    )
    assert "SSH: yes, 203.0.113.7 can reach 22/tcp." in words
    assert "Apply anyway" in words
    for word in ("", "yes", "any way"):
        refused = working.post(PATH, order(host, message="moving out", anyway=word), **AWAY)  # type: ignore[arg-type]
        assert refused.status_code == 422
        assert 'Type "anyway" to continue.' in text_of(refused)
        assert 'id="id_anyway_error"' in refused.content.decode()
        assert 'value="moving out"' in refused.content.decode()
    assert not Apply.objects.exists()
    assert working.post(PATH, order(host, anyway=" Anyway "), **AWAY).status_code == 302  # type: ignore[arg-type]
    event = AuditEvent.objects.get(verb="apply-start")
    assert event.after is not None
    assert event.after["anyway"] is True


def test_a_rule_for_the_dashboard_prevents_the_lock_out(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    values = {"scope": "host", "protocol": "tcp", "ports": ["8000"], "source": "203.0.113.7"}
    rule_create(host=host, actor=alice, values=values)
    page = working.get(PATH, **AWAY)  # type: ignore[arg-type]
    assert "You keep your access." in text_of(page)
    assert working.post(PATH, order(host), **AWAY).status_code == 302  # type: ignore[arg-type]


def test_the_address_is_the_one_that_a_trusted_proxy_names(
    working: Client, host: Host, ssh: Rule, settings: Settings
) -> None:
    proxied = {"HTTP_X_FORWARDED_FOR": "203.0.113.7", "HTTP_HOST": "localhost"}
    assert "Your address is 127.0.0.1" in text_of(working.get(PATH, **proxied))  # type: ignore[arg-type]
    settings.ENVIRONMENT = read_environment({"DOCKERFW_TRUSTED_PROXIES": "127.0.0.1"})
    words = text_of(working.get(PATH, **proxied))  # type: ignore[arg-type]
    assert "Your address is 203.0.113.7" in words
    assert "This dashboard: no, 203.0.113.7 would be refused at 80/tcp" in words


def test_a_host_cannot_lock_out_a_dashboard_on_another_machine(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    far = Host.objects.create(name="far", external_interfaces=["ens33"])
    snapshot_store(far, None)
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "source": OFFICE}
    rule_create(host=far, actor=alice, values=values)
    words = text_of(working.get("/hosts/far/review/", **AWAY))  # type: ignore[arg-type]
    assert "This dashboard: yes, it runs on another machine." in words
    assert "SSH: yes, 203.0.113.7 can reach 22/tcp." in words
    assert "This would lock you out." in text_of(working.get(PATH, **AWAY))  # type: ignore[arg-type]


def test_a_draft_that_changed_comes_before_the_word(
    working: Client, host: Host, bob: Actor, ssh: Rule
) -> None:
    drawn = order(host)
    rule_create(host=host, actor=bob, values={"scope": "both", "protocol": "udp", "ports": ["53"]})
    assert working.post(PATH, drawn, **AWAY).status_code == 409  # type: ignore[arg-type]


def test_what_breaks_an_expectation_needs_a_reason(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    expectation_create(host=host, actor=alice, values=EXPECTED)
    expectation_create(host=host, actor=alice, values={"protocol": "tcp", "port": 3306, "passes": False})
    page = working.get(PATH)
    words = text_of(page)
    assert "Expectations 1 fails" in words
    refusal = "from anywhere over IPv4 it is refused by rule 1 of filter FILTERS"
    assert f"443/tcp of the host from anywhere passes would fail: {refusal}. the shop" in words
    assert "holds: 3306/tcp of the host from anywhere is refused" in words
    refused = working.post(PATH, order(host, message="shop moves"))
    assert refused.status_code == 422
    assert "Enter a reason to apply anyway." in text_of(refused)
    assert 'id="id_override_error"' in refused.content.decode()
    assert 'value="shop moves"' in refused.content.decode()
    assert not Apply.objects.exists()
    assert working.post(PATH, order(host, override="the shop moves")).status_code == 302
    apply = Apply.objects.get()
    assert apply.override == "the shop moves"
    history = text_of(working.get(f"{HOST}/history/"))
    assert "Expectations overridden: the shop moves" in history
    assert "Expectations overridden: the shop moves" in text_of(working.get(f"{HOST}/history/1/"))
    assert "Expectations overridden: the shop moves" in text_of(working.get(f"{HOST}/applies/{apply.pk}/"))


def test_an_unknown_result_may_be_given_a_reason_too(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    named = {"protocol": "tcp", "port": 5432, "to": "container", "container": "db", "passes": False}
    expectation_create(host=host, actor=alice, values=named)
    page = working.get(PATH)
    assert "5432/tcp of container db from anywhere is refused: cannot tell, Docker is not asked" in text_of(
        page
    )
    assert 'name="override"' in page.content.decode()
    assert working.post(PATH, order(host)).status_code == 302
    assert Apply.objects.get().override == ""


def test_with_thousands_of_rules_the_page_asks_for_it_by_itself(
    working: Client, host: Host, alice: Actor, ssh: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    expectation_create(host=host, actor=alice, values=EXPECTED)
    monkeypatch.setattr(proposals, "MOST_AT_ONCE", 0)
    page = working.get(PATH, **AWAY)  # type: ignore[arg-type]
    assert "Calculating the effect on outside access." in text_of(page)
    assert 'hx-get="?effects=yes"' in page.content.decode()
    assert 'name="override"' not in page.content.decode()
    assert has_no_inline_code(page)
    whole = working.get(f"{PATH}?effects=yes", **AWAY)  # type: ignore[arg-type]
    words = text_of(whole)
    assert "Calculating" not in words
    assert "This would lock you out." in words
    assert "Apply anyway" in words
    assert 'name="override"' in whole.content.decode()
    # A POST before the page has loaded gets the same answer.
    early = working.post(PATH, order(host), **AWAY)  # type: ignore[arg-type]
    assert early.status_code == 422
    assert 'name="anyway"' in early.content.decode()


def test_a_roll_back_is_asked_the_same(working: Client, host: Host, alice: Actor, ssh: Rule) -> None:
    confirm(host, alice)
    values = {"scope": "host", "protocol": "tcp", "ports": ["443", "8000"]}
    rule_create(host=host, actor=alice, values=values)
    expectation_create(host=host, actor=alice, values=EXPECTED)
    confirm(host, alice)
    host.refresh_from_db()
    snapshot_store(host, draft_document(host), 2)
    path = f"{HOST}/history/1/rollback/"
    words = text_of(working.get(path, **AWAY))  # type: ignore[arg-type]
    assert "443/tcp, 8000/tcp of the host are no longer reachable from anywhere" in words
    assert "Roll back to revision 1 anyway" in words
    # Revision 1 expects nothing yet.
    assert "would fail" not in words
    form = {"version": "2", "message": "back"}
    assert working.post(path, form, **AWAY).status_code == 422  # type: ignore[arg-type]
    assert working.post(path, {**form, "anyway": "anyway"}, **AWAY).status_code == 302  # type: ignore[arg-type]


def test_without_a_report_nothing_is_claimed(signed_in: Client, host: Host, alice: Actor) -> None:
    expectation_create(host=host, actor=alice, values=EXPECTED)
    words = text_of(signed_in.get(PATH))
    assert "Effect on outside access" not in words
    assert "your access" not in words


def test_the_first_review_says_what_packets_pass_today(working: Client, host: Host, ssh: Rule) -> None:
    words = text_of(working.get(PATH))
    heading = words.index("Effect of the first load on packets")
    closes = "Packets from anywhere but 203.0.113.0/24 to 22/tcp (SSH) of the host pass today"
    assert f"{closes} and would be refused." in words[heading:]
    snapshot_store(host, draft_document(host), 1, age=-1)
    assert "Effect of the first load on packets" not in text_of(working.get(PATH))


@pytest.fixture
def postgres(host: Host, ssh: Rule) -> dict[str, Any]:
    """A host with a bridge of containers and a database, which nothing of dockerfw filters yet."""
    sockets = (ListeningSocket(4, "tcp", "", 5432, process="postgres"),)
    values: dict[str, Any] = {"bridge": ("172.17.0.1/16",), "around": {"sockets": sockets}}
    snapshot_store(host, None, **values)
    return values


LOSS = "Containers can no longer reach 5432/tcp (postgres) of this host"
QUESTION = "Containers reach 1 service of this host today: 5432/tcp (postgres)."
REACH = f"{HOST}/settings/containers/"


def test_the_first_review_asks_whether_containers_keep_their_host(
    working: Client, host: Host, postgres: dict[str, Any]
) -> None:
    page = working.get(PATH)
    words = text_of(page)
    assert words.index(QUESTION) < words.index("Effect on containers \u2192 host") < words.index(LOSS)
    assert has_no_inline_code(page)
    # "By rules" fills in a rule for the service and the containers' network.
    found = re.search(r'href="([^"]*/rules/new/[^"]*5432[^"]*)"', page.content.decode())
    assert found is not None
    fields = working.get(unescape(found[1])).content.decode()
    assert "172.17.0.0/16</textarea>" in fields
    mark = re.search(r'name="mark" value="([0-9a-f]+)"', page.content.decode())
    assert mark is not None
    after = working.post(REACH, {"mark": mark[1], "value": "allow"}, follow=True)
    assert after.redirect_chain[-1][0] == PATH
    host.refresh_from_db()
    assert host.containers_reach_host == "allow"
    words = text_of(after)
    assert "Containers of this host reach every port of it, once the draft is applied." in words
    assert QUESTION not in words
    assert LOSS not in words
    assert "Effect on containers" not in words
    event = AuditEvent.objects.get(verb="settings-update")
    assert event.after is not None
    assert event.after["containers_reach_host"] == "allow"


def test_later_reviews_ask_nothing_and_say_what_changes(
    working: Client, host: Host, alice: Actor, postgres: dict[str, Any]
) -> None:
    confirm(host, alice)
    host.refresh_from_db()
    Host.objects.filter(pk=host.pk).update(containers_reach_host="allow")
    host.refresh_from_db()
    draft_touch(host)
    base = base_document(host)
    snapshot_store(host, base, 1, **postgres)
    words = text_of(working.get(PATH))
    assert QUESTION not in words
    assert "Containers can reach 5432/tcp (postgres) of this host" in words
    assert "Containers reach this host" in words


def test_the_answer_about_containers_needs_the_settings_that_were_shown(
    working: Client, host: Host, postgres: dict[str, Any]
) -> None:
    assert_access(REACH, working, methods="post")
    for mark, value in (("0" * 16, "allow"), (settings_mark(host), "sometimes")):
        page = working.post(REACH, {"mark": mark, "value": value}, follow=True)
        assert page.redirect_chain[-1][0] == PATH
    host.refresh_from_db()
    assert host.containers_reach_host == "by-rules"


def test_a_setup_by_hand_that_would_open_is_not_applied(working: Client, host: Host, ssh: Rule) -> None:
    reason = foreign_jump(4, "-A INPUT -p tcp -j FILTERS")
    snapshot_store(host, age=-1, saves={4: BY_HAND, 6: CLEAN})
    page = working.get(PATH)
    assert reason in text_of(page)
    assert 'name="message"' not in page.content.decode()
    answer = working.post(PATH, order(host))
    assert (answer.status_code, f"Nothing was applied. {reason}" in text_of(answer)) == (409, True)
    assert not Apply.objects.exists()


def test_refused_igmp_is_warned_about_with_a_rule_to_add(working: Client, host: Host, ssh: Rule) -> None:
    ens33 = Interface("ens33", ("192.0.2.1/24",), True, groups=("239.1.2.3",))
    snapshot_store(host, None, around={"interfaces": (ens33,)})
    page = working.get(PATH)
    assert "This host is in the multicast group 239.1.2.3 on ens33" in text_of(page)
    found = re.search(r'<a href="([^"]+)">Add this rule</a>', page.content.decode())
    assert found is not None
    form = working.get(found[1].replace("&amp;", "&")).context["form"]
    values = {name: form[name].value() for name in ("scope", "protocol", "protocol_other", "comment")}
    assert values == {"scope": "host", "protocol": "other", "protocol_other": "igmp", "comment": "IGMP"}
    filled = {name: form[name].value() or "" for name in form.fields}
    working.post(f"{HOST}/rules/new/", {**filled, "enabled": "on"})
    assert "239.1.2.3" not in text_of(working.get(PATH))
