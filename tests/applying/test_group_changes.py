"""Changes of groups in the review, a revision, a comparison and the audit log, with long lists folded."""

from __future__ import annotations

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.group_services import group_create, group_delete, group_update
from rules.models import Group, Host
from tests.rig.confirmed import confirm
from tests.rig.web_pages import HOST, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db


def hosts(first: int, last: int) -> list[str]:
    return [f"192.0.2.{number}" for number in range(first, last)]


@pytest.fixture
def changed(host: Host, alice: Actor) -> Group:
    """A revision with two groups; in the draft one has other entries, one is gone, and a feed is new."""
    row = group_create(host=host, actor=alice, name="office", values={"entries": hosts(0, 30)})
    old = group_create(host=host, actor=alice, name="old", values={"entries": ["203.0.113.0/24"]})
    confirm(host, alice)
    entries = {"entries": hosts(28, 60), "comment": "moved"}
    group_update(
        host=host, actor=alice, name="office", version=row.version, new_name="office", values=entries
    )
    group_delete(host=host, actor=alice, name="old", version=old.version)
    group_create(
        host=host, actor=alice, name="cloud", values={"kind": "feed", "url": "https://example.org/x"}
    )
    return row


def assert_told(words: str) -> None:
    assert "added: @cloud, the feed https://example.org/x, fetched each 24 h" in words
    assert "removed: @old, 1 entry Entries: 203.0.113.0/24" in words
    assert "changed: @office, 32 entries Comment: none" in words
    assert "192.0.2.49/32 10 more 192.0.2.50/32" in words
    assert "Removed: 192.0.2.0/32" in words
    assert "8 more 192.0.2.20/32" in words


def test_the_review_and_the_history_name_them(
    signed_in: Client, host: Host, alice: Actor, changed: Group
) -> None:
    page = signed_in.get(f"{HOST}/review/")
    assert has_no_inline_code(page)
    assert_told(text_of(page))
    host.refresh_from_db()
    confirm(host, alice)
    assert_told(text_of(signed_in.get(f"{HOST}/history/2/")))
    assert_told(text_of(signed_in.get(f"{HOST}/history/compare/?a=1&b=2")))


def test_the_audit_log_names_what_differs(signed_in: Client, changed: Group) -> None:
    words = text_of(signed_in.get("/audit/"))
    assert "changed a group @office" in words
    assert "Entries: 30 entries, only here 192.0.2.0/32" in words
    assert "Comment: none → moved" in words
    assert "removed a group @old" in words
