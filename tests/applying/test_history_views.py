"""The history, a revision, and any two compared."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dockerfw.messages.events import NOTICED_VERBS, ConsoleEvent
from rules.applying.history_selectors import history_page
from rules.audit.actors import Actor
from rules.audit.event_services import console_record
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Apply, Host, Revision, Rule
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/history/"
TIME = "2026-01-31T12:00:00Z"


@pytest.fixture
def revisions(host: Host, alice: Actor, bob: Actor) -> None:
    """Three revisions: ssh by alice, web by bob, and one of the system."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    confirm(host, alice, "open ssh")
    rule_create(host=host, actor=bob, values={"scope": "both", "protocol": "tcp", "ports": ["80"]})
    confirm(host, bob, "open the web")
    second = Revision.objects.get(number=2)
    Revision.objects.create(
        host=host,
        number=3,
        document=second.document,
        digest=second.digest,
        author_name="dockerfw",
        origin="system",
        parent=second,
        message="not confirmed in time",
    )


def test_access(signed_in: Client, revisions: None) -> None:
    for path in (PATH, f"{PATH}2/", f"{PATH}compare/", f"{PATH}2/export/"):
        assert_access(path, signed_in)
    for path in (f"{PATH}9/", f"{PATH}9/export/", f"{PATH}compare/?b=9", f"{PATH}compare/?a=9&b=2"):
        assert signed_in.get(path).status_code == 404


def test_what_was_noticed_stands_above_the_revisions(signed_in: Client, host: Host, revisions: None) -> None:
    first = "00000000-0000-4000-8000-00000000000"
    # The page shows the last five.
    for number, verb in enumerate(reversed(NOTICED_VERBS)):
        event = ConsoleEvent(
            f"{first}{number}", host.name, verb, "root worker", TIME, f"<b>{verb}</b>\nand why"
        )
        assert console_record(event=event)
    page = signed_in.get(PATH)
    words = text_of(page)
    assert "the root worker noticed that the kernel differs from the confirmed revision" in words
    assert "the root worker restored the jumps" in words
    assert "<b>left-out</b>" not in words
    assert "&lt;b&gt;heal&lt;/b&gt;<br>and why" in page.content.decode()
    assert has_no_inline_code(page)
    assert "Automatic events" not in text_of(signed_in.get(f"{PATH}?system=no"))


def test_an_empty_history_says_what_to_do(signed_in: Client) -> None:
    assert "No revisions yet." in text_of(signed_in.get(PATH))
    assert "Nothing to compare" in text_of(signed_in.get(f"{PATH}compare/"))


@pytest.mark.parametrize(
    ("query", "numbers"),
    [("ssh", [1]), ("bob", [2]), ("open", [2, 1]), ("open bob", [2]), ("3", [3]), ("%", [])],
)
def test_a_search_by_reason_author_and_number(
    signed_in: Client, revisions: None, query: str, numbers: list[int]
) -> None:
    page = signed_in.get(PATH, {"q": query})
    found = re.findall(r'rowheader"><a[^>]*>Revision (\d+)<', page.content.decode())
    assert [int(number) for number in found] == numbers
    if not numbers:
        assert 'No revision matches "%".' in text_of(page)
    manual = re.search(r'href="\?([^"]*)">Manual changes', page.content.decode())
    assert manual
    assert parse_qs(unescape(manual[1])) == {"system": ["no"], "q": [query]}


def test_the_documents_of_revisions_are_read_once(
    signed_in: Client, host: Host, alice: Actor, revisions: None
) -> None:
    for number in range(4, 40):
        newest = Revision.objects.get(number=number - 1)
        Revision.objects.create(
            host=host,
            number=number,
            document=newest.document,
            digest=newest.digest,
            author_name="alice",
            parent=newest,
            message=f"change {number}",
        )
    assert "1 to 25 of 39" in text_of(signed_in.get(PATH))
    with CaptureQueriesContext(connection) as queries:
        page = signed_in.get(PATH, {"page": "2"})
    assert "26 to 39 of 39" in text_of(page)
    with CaptureQueriesContext(connection) as again:
        signed_in.get(PATH, {"page": "2"})
    # (Of all these revisions only one document is new to the process, which the first page has read.)
    assert len(again) <= len(queries)


def test_a_stored_change_needs_no_document(host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    first = confirm(host, alice)
    changes = {"change": "as it was stored"}
    second = Revision.objects.create(
        host=host, number=2, document="unreadable", digest="0" * 64, parent=first, message="x", **changes
    )
    with CaptureQueriesContext(connection) as queries:
        stored, found_out = history_page(host).entries
    assert (stored.revision, stored.sentence) == (second, "as it was stored")
    told = "1 rule added, 1 setting changed; 22/tcp becomes reachable from anywhere on the host"
    assert found_out.sentence == told
    assert sum('"rules_revision"."document"' in each["sql"] for each in queries) <= 1


def test_the_rules_of_a_revision_come_in_pages(signed_in: Client, host: Host, alice: Actor) -> None:
    Rule.objects.bulk_create(
        Rule(host=host, key=f"r{number:03d}", scope="host", protocol="tcp", ports=[str(number)])
        for number in range(1, 251)
    )
    host.draft_version += 1
    host.save()
    confirm(host, alice)
    page = signed_in.get(f"{PATH}1/")
    assert "1 to 40 of 250" in text_of(page)
    assert "Everything else" not in text_of(page)
    assert len(page.content) < 100_000
    last = text_of(signed_in.get(f"{PATH}1/", {"page": "7"}))
    assert "241 to 250 of 250" in last
    assert "Everything else Reject" in last


def test_each_revision_with_who_why_and_what(signed_in: Client, revisions: None) -> None:
    page = signed_in.get(PATH)
    words = text_of(page)
    assert "open the web 1 rule added; 80/tcp becomes reachable from anywhere bob today" in words
    assert "Revision 2 confirmed" in words
    assert "loaded" not in words
    assert has_no_inline_code(page)


def test_the_systems_revisions_can_be_left_out(signed_in: Client, revisions: None) -> None:
    assert "not confirmed in time" in text_of(signed_in.get(PATH))
    assert "not confirmed in time" not in text_of(signed_in.get(PATH, {"system": "no"}))


@pytest.mark.redis
def test_loaded_is_what_the_kernel_says(working: Client, host: Host, revisions: None) -> None:
    snapshot_store(host, draft_document(host), 2)
    assert "Revision 2 loaded" in text_of(working.get(PATH))
    assert "Revision 2 loaded" in text_of(working.get(f"{PATH}2/"))
    snapshot_store(host, draft_document(host), 2, age=120)
    assert "Revision 2 loaded" not in text_of(working.get(PATH))


def test_a_revision_tells_all(signed_in: Client, revisions: None) -> None:
    words = text_of(signed_in.get(f"{PATH}2/"))
    assert "Reason open the web Author bob Time" in words
    assert Revision.objects.get(number=2).digest in words
    assert "added: 80/tcp from anywhere" in words
    assert "External interfaces ens33" in words


def test_compare_takes_the_predecessor_by_default(signed_in: Client, revisions: None) -> None:
    words = text_of(signed_in.get(f"{PATH}compare/", {"b": "2"}))
    assert "Revision 1 compared with 2" in words
    assert "added: 80/tcp" in words
    back = text_of(signed_in.get(f"{PATH}compare/", {"a": "2", "b": "1"}))
    assert "removed: 80/tcp" in back
    assert "None: both revisions have the same content." in text_of(
        signed_in.get(f"{PATH}compare/", {"a": "2", "b": "3"})
    )
    assert signed_in.get(f"{PATH}compare/", {"a": "x", "b": "y"}).status_code == 200


def test_a_revision_is_exported_as_its_document(signed_in: Client, revisions: None) -> None:
    answer = signed_in.get(f"{PATH}1/export/")
    assert answer["Content-Disposition"] == 'attachment; filename="local-revision-1.json"'
    assert answer.json()["format"] == "dockerfw/1"
    assert [rule["ports"] for rule in answer.json()["rules"]] == [["22"]]


def test_a_restore_does_not_hide_why_an_expectation_was_overridden_first(
    signed_in: Client, host: Host, revisions: None
) -> None:
    first = Apply.objects.get(revision__number=1)
    first.override = "the shop moves"
    first.save(update_fields=["override"])
    for sequence, reason in ((90, "still moving"), (91, "still moving"), (92, "")):
        Apply.objects.create(
            host=host,
            revision=first.revision,
            requested_by="alice",
            sequence=sequence,
            job_id="job",
            override=reason,
        )
    words = text_of(signed_in.get(PATH))
    assert "Expectations overridden: the shop moves Expectations overridden: still moving" in words
    assert words.count("Expectations overridden") == 2
