"""The review, the apply's page and the history on sessions that go on although their rule goes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client

from dockerfw.messages.outcomes import Outcome
from dockerfw.messages.session_groups import SessionGroup, SessionGroups
from dockerfw.messages.surroundings import Container, ContainerPort
from dockerfw.reach.inbound import InboundSession
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create, rule_delete, rule_update
from rules.models import Apply, AuditEvent, Host, Rule
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of, snapshot_store, window_of
from tests.rig.web_pages import HOST, has_no_inline_code, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
PATH = f"{HOST}/review/"
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
WEB = {"scope": "container", "protocol": "tcp", "ports": ["8080"]}
SENTENCE = "2 established sessions of 22/tcp from anywhere to the host (ssh) stay open."
CANNOT_TELL = "conntrack is not installed on the host, or does not work."
MORE = "The host has more sessions than are counted here."
END = "End these sessions after Keep"


def group(source: str, count: int = 1, **changes: Any) -> SessionGroup:
    """Return sessions with the host's port 22."""
    values: dict[str, Any] = {
        "place": "host",
        "family": 4,
        "protocol": "tcp",
        "source": source,
        "port": 22,
        "inner_port": 22,
        "interfaces": ("ens33",),
        **changes,
    }
    return SessionGroup.of(InboundSession(**values), count)


def seen(*groups: SessionGroup, whole: bool = True) -> SessionGroups:
    """Return the sessions of a snapshot."""
    return SessionGroups(groups, whole)


@pytest.fixture
def ssh(working: Client, host: Host, alice: Actor) -> Rule:
    """A rule that is confirmed."""
    rule = rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    return rule


def loaded(host: Host, sessions: SessionGroups | None) -> None:
    """Have the kernel hold the draft, with these sessions open."""
    snapshot_store(host, draft_document(host), 1, sessions=sessions)


def remove(rule: Rule, host: Host, actor: Actor) -> None:
    rule_delete(host=host, actor=actor, key=rule.key, version=rule.version)
    host.refresh_from_db()


def offers(page: HttpResponseBase) -> bool:
    """Return True if the page has the checkbox, which is never set from the start."""
    body = getattr(page, "content", b"").decode()
    found = re.search(r'<input type="checkbox" name="end_sessions"[^>]*>', body)
    assert found is None or "checked" not in found[0]
    assert (found is not None) == (END in text_of(page))
    return found is not None


def test_open_sessions_are_counted_and_their_end_is_offered(
    working: Client, host: Host, ssh: Rule, alice: Actor
) -> None:
    loaded(
        host, seen(group("203.0.113.9"), group("203.0.113.8"), group("203.0.113.9", port=23, inner_port=23))
    )
    remove(ssh, host, alice)
    page = working.get(PATH)
    assert SENTENCE in text_of(page)
    assert offers(page)
    assert has_no_inline_code(page)


@pytest.mark.parametrize(
    "sessions",
    [seen(), seen(group("203.0.113.9", port=23, inner_port=23)), seen(group("10.0.0.1", place="container"))],
)
def test_without_such_sessions_there_is_no_sentence(
    working: Client, host: Host, ssh: Rule, alice: Actor, sessions: SessionGroups
) -> None:
    loaded(host, sessions)
    remove(ssh, host, alice)
    page = working.get(PATH)
    assert "established session" not in text_of(page)
    assert not offers(page)


def test_sessions_that_another_rule_allows_are_not_counted(
    working: Client, host: Host, ssh: Rule, alice: Actor
) -> None:
    loaded(host, seen(group("203.0.113.9", 3), group("198.51.100.7")))
    narrow = {**SSH, "source": "203.0.113.0/24"}
    rule_update(host=host, actor=alice, key=ssh.key, values=narrow, version=ssh.version)
    words = text_of(working.get(PATH))
    assert "1 established session of 22/tcp from anywhere to the host (ssh) stays open." in words


def test_sessions_of_a_rule_by_name_are_those_of_its_container(
    working: Client, host: Host, alice: Actor
) -> None:
    named = {**WEB, "container": "db"}
    rule = rule_create(host=host, actor=alice, values=named)
    confirm(host, alice)
    behind = {"place": "container", "port": 8080, "inner_port": 80, "dialled": "192.0.2.1"}
    sessions = seen(
        group("203.0.113.9", 2, **behind, destination="172.17.0.2"),
        group("203.0.113.9", 4, **behind, destination="172.17.0.3"),
    )
    ports = (ContainerPort("tcp", 80, 8080),)
    db = Container("00000000000d", "db", addresses=("172.17.0.2",), ports=ports)
    held = draft_document(host)
    snapshot_store(host, held, 1, sessions=sessions, around={"containers": (db,)})
    remove(rule, host, alice)
    page = working.get(PATH)
    assert "2 established sessions of 8080/tcp from anywhere to container db stay open." in text_of(page)
    assert offers(page)
    # While Docker does not answer it cannot be told whose sessions these are.
    snapshot_store(host, held, 1, sessions=sessions, around={"containers": None})
    page = working.get(PATH)
    assert "established session" not in text_of(page)
    assert "Cannot tell which sessions belong to removed rules for containers by name" in text_of(page)
    assert offers(page)


def test_without_conntrack_it_says_so_where_something_is_taken_away(
    working: Client, host: Host, ssh: Rule, alice: Actor
) -> None:
    loaded(host, None)
    rule_create(host=host, actor=alice, values={**SSH, "ports": ["443"]})
    page = working.get(PATH)
    assert CANNOT_TELL not in text_of(page)
    remove(ssh, host, alice)
    page = working.get(PATH)
    assert CANNOT_TELL in text_of(page)
    assert not offers(page)


def test_more_than_were_counted_can_be_ended_too(
    working: Client, host: Host, ssh: Rule, alice: Actor
) -> None:
    loaded(host, seen(whole=False))
    assert MORE not in text_of(working.get(PATH))
    remove(ssh, host, alice)
    page = working.get(PATH)
    assert MORE in text_of(page)
    assert offers(page)


def test_a_changed_icmp_setting_takes_away_too(working: Client, host: Host, ssh: Rule) -> None:
    ping = {"protocol": "icmp", "port": None, "inner_port": None}
    loaded(host, seen(group("203.0.113.9", 2, **ping)))
    Host.objects.filter(pk=host.pk).update(icmp="refuse")
    page = working.get(PATH)
    assert "2 established sessions of ICMP stay open." in text_of(page)
    assert offers(page)


def test_many_rules_are_not_all_named(working: Client, host: Host, alice: Actor) -> None:
    ports = range(1000, 1013)
    rules = [rule_create(host=host, actor=alice, values={**SSH, "ports": [str(port)]}) for port in ports]
    confirm(host, alice)
    loaded(host, seen(*(group("203.0.113.9", port=port, inner_port=port) for port in ports)))
    for rule in rules:
        remove(rule, host, alice)
    words = text_of(working.get(PATH))
    assert words.count("1 established session of") == 10
    assert "3 sessions of other rules stay open." in words


@pytest.mark.parametrize("wish", [True, False])
def test_the_wish_goes_with_the_order(
    working: Client, host: Host, ssh: Rule, alice: Actor, wish: bool
) -> None:
    loaded(host, seen(group("203.0.113.9")))
    remove(ssh, host, alice)
    form = {"version": str(host.draft_version), "sequence": str(host.sequence), "message": "close it"}
    working.post(PATH, {**form, **({"end_sessions": "on"} if wish else {})})
    apply = Apply.objects.latest("created_at")
    assert apply.end_sessions is wish
    event = AuditEvent.objects.get(verb="apply-start")
    assert event.after is not None
    assert event.after["end_sessions"] is wish
    page = working.get(f"{HOST}/applies/{apply.pk}/")
    assert ("End the sessions that are no longer allowed" in text_of(page)) is wish
    outcome_record(outcome=outcome_of(apply, "awaiting", 100))
    page = working.get(f"{HOST}/applies/{apply.pk}/")
    assert ("Keep also ends the sessions" in text_of(page)) is wish
    assert ("ending sessions" in text_of(working.get(f"{HOST}/history/{apply.revision.number}/"))) is wish


def test_a_refused_order_keeps_the_wish(working: Client, host: Host, ssh: Rule, alice: Actor) -> None:
    loaded(host, seen(group("203.0.113.9")))
    remove(ssh, host, alice)
    form = {"version": str(host.draft_version), "sequence": str(host.sequence), "end_sessions": "on"}
    page = working.post(PATH, {**form, "message": ""})
    assert page.status_code == 422
    assert re.search(r'name="end_sessions"[^>]* checked', page.content.decode())


def test_a_roll_back_offers_it_as_well(working: Client, host: Host, ssh: Rule, alice: Actor) -> None:
    web = rule_create(host=host, actor=alice, values={**SSH, "ports": ["443"], "comment": ""})
    confirm(host, alice, "web")
    snapshot_store(
        host, draft_document(host), 2, sessions=seen(group("203.0.113.9", port=443, inner_port=443))
    )
    path = f"{HOST}/history/1/rollback/"
    page = working.get(path)
    assert "1 established session of 443/tcp from anywhere to the host stays open." in text_of(page)
    assert offers(page)
    working.post(path, {"version": "2", "message": "back", "end_sessions": "on"})
    assert Apply.objects.latest("created_at").end_sessions
    assert web.ports == ["443"]


def ended(apply: Apply, state: str, detail: str) -> Outcome:
    """Return the last word of an apply that ended sessions, or tried to."""
    loaded_revision = {"revision": apply.revision.number, "digest": apply.revision.digest}
    outcome = outcome_of(apply, "confirmed", 10_000, {"loaded": loaded_revision}).to_json()
    first = outcome["steps"][0]  # type: ignore[index]
    return Outcome.from_json(
        {**outcome, "steps": [{**first, "name": "sessions", "state": state, "detail": detail}]}
    )


@pytest.mark.parametrize(
    ("state", "detail"),
    [("done", "3 sessions ended"), ("failed", "they continue: conntrack is not installed")],
)
def test_the_result_of_ending_sessions_is_shown(
    working: Client, host: Host, ssh: Rule, alice: Actor, state: str, detail: str
) -> None:
    loaded(host, seen(group("203.0.113.9", 3)))
    remove(ssh, host, alice)
    form = {"version": str(host.draft_version), "sequence": str(host.sequence), "message": "close it"}
    working.post(PATH, {**form, "end_sessions": "on"})
    apply = Apply.objects.latest("created_at")
    outcome_record(outcome=ended(apply, state, detail))
    words = text_of(working.get(f"{HOST}/applies/{apply.pk}/"))
    assert f"Sessions no longer allowed: {detail}." in words
    assert AuditEvent.objects.get(verb="apply-confirmed", detail="", after__sessions=detail)


@pytest.mark.parametrize("answer", ["keep", ""])
def test_ending_sessions_is_not_shown_as_a_rollback(
    working: Client, host: Host, ssh: Rule, alice: Actor, answer: str
) -> None:
    loaded(host, seen(group("203.0.113.9")))
    remove(ssh, host, alice)
    form = {"version": str(host.draft_version), "sequence": str(host.sequence), "message": "close it"}
    working.post(PATH, {**form, "end_sessions": "on"})
    apply = Apply.objects.latest("created_at")
    outcome_record(outcome=outcome_of(apply, "awaiting", 100, {"window": window_of(60, left=-1)}))
    Apply.objects.filter(pk=apply.pk).update(answer=answer)
    words = text_of(working.get(f"{HOST}/applies/{apply.pk}/"))
    assert ("The root worker has not reported yet whether Keep arrived in time." in words) is bool(answer)
    assert ("The host restores the previous rules" in words) is not bool(answer)
