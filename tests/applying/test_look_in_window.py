"""The pages in an open window, in which the root worker reads the kernel once: that reading, with its age."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dockerfw.document.document import Document
from rules.applying import review_views
from rules.applying.apply_services import apply_start
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.command_line.stored import fresh_look
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Apply, Host
from tests.rig.kernel_reports import UNREAD_6, outcome_of, snapshot_store
from tests.rig.namespace import PATIENCE
from tests.rig.redis_fixtures import RedisServer
from tests.rig.web_pages import HOST, text_of

AGAIN = "It is read again when the window has ended."
PAGE_AGAIN = "The kernel is read again when the confirmation window has ended."


@pytest.fixture
def waiting(host: Host, alice: Actor, queue: RedisServer) -> Apply:
    """An apply of revision 1 whose window was opened 40 seconds ago, for two minutes."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    host.refresh_from_db()
    apply = apply_start(basis=basis_of(host), actor=alice, message="ssh", draft_version=host.draft_version)
    outcome_record(outcome=outcome_of(apply, "awaiting", 0))
    deadline = timezone.now() + timedelta(seconds=80)
    Apply.objects.update(window_deadline=deadline, window_seconds=120)
    apply.refresh_from_db()
    return apply


def sentence_of(host: Host, document: Document | None, *, age: float) -> KernelSentence:
    snapshot_store(host, document, 1, age=age)
    return kernel_sentence(basis_of(host))


def without_age(found: KernelSentence) -> tuple[str, ...]:
    """Return the reasons without the seconds since a reading of 30 seconds ago, which may be a few more."""
    return tuple(re.sub(r"^3\d seconds ago ", "", reason) for reason in found.reasons)


def test_the_sentence_says_what_the_look_after_the_load_showed(waiting: Apply, host: Host) -> None:
    document = draft_document(host)
    found = sentence_of(host, document, age=5)
    assert (found.level, found.text.startswith("Revision 1 is loaded")) == ("warn", True)
    found = sentence_of(host, document, age=30)
    assert (found.level, found.text.startswith("Revision 1 was loaded.")) == ("unknown", True)
    assert without_age(found) == (f"the kernel held it. {AGAIN}",)
    found = sentence_of(host, None, age=30)
    assert without_age(found) == (f"the kernel did not hold it as it was loaded. {AGAIN}",)
    found = sentence_of(host, document, age=60)
    assert (found.level, found.reasons) == ("unknown", ("The kernel has not been read since.",))
    found = sentence_of(host, document, age=-600)
    assert (found.level, found.reasons) == ("unknown", ("The kernel has not been read since.",))


def test_rules_that_could_not_be_read_are_not_held(waiting: Apply, host: Host) -> None:
    snapshot_store(host, draft_document(host), 1, age=30, saves={4: "", 6: ""}, around={"errors": UNREAD_6})
    found = kernel_sentence(basis_of(host))
    assert found.level == "unknown"
    assert without_age(found) == ("not all rules in the kernel could be read.",)


def test_the_live_page_says_why_it_shows_an_older_reading(
    waiting: Apply, host: Host, working: Client
) -> None:
    document = draft_document(host)
    snapshot_store(host, document, 1, age=30)
    page = working.get(f"{HOST}/live/")
    assert PAGE_AGAIN in text_of(page)
    poll = page.context["poll"]
    assert working.get(f"{HOST}/live/poll/?{poll}").status_code == 204
    outcome_record(outcome=outcome_of(waiting, "confirmed", 1))
    after = working.get(f"{HOST}/live/poll/?{poll}")
    assert (after.status_code, PAGE_AGAIN in text_of(after)) == (200, False)


def test_other_pages_give_the_age_of_their_reading(waiting: Apply, host: Host, working: Client) -> None:
    snapshot_store(host, draft_document(host), 1, age=30)
    words = text_of(working.get(f"{HOST}/exposure/"))
    assert "It is read again when the confirmation window has ended." in words
    assert "has not reported since" not in words
    outcome_record(outcome=outcome_of(waiting, "rolled_back", 1))
    words = text_of(working.get(f"{HOST}/exposure/"))
    assert "before revision 1 was rolled back. The next look comes at once." in words
    Apply.objects.update(finished_at=timezone.now() - timedelta(seconds=28))
    assert "The root worker has not reported since." in text_of(working.get(f"{HOST}/exposure/"))


def test_no_one_waits_for_a_look_that_does_not_come(
    waiting: Apply, host: Host, working: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_store(host, draft_document(host), 1, age=30)
    monkeypatch.setattr(review_views, "LOOK_AGAIN_SECONDS", PATIENCE)
    began = time.monotonic()
    assert fresh_look(host).view is not None
    assert working.get(f"{HOST}/review/").status_code == 200
    assert time.monotonic() - began < PATIENCE
