"""The open window on the pages: the countdown, its buttons and its key, and the line on every other page."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from rules.applying.answer_services import apply_keep
from rules.applying.answer_views import AGAIN
from rules.applying.apply_services import apply_start
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.rule_services import rule_create
from rules.models import Apply, Host
from tests.rig.kernel_reports import outcome_of, window_of
from tests.rig.page_fixtures import make_admin
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

HTMX = {"HX-Request": "true"}


@pytest.fixture
def apply(host: Host, alice: Actor, queue: object) -> Apply:
    """An apply of alice's that awaits confirmation."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    host.refresh_from_db()
    apply = apply_start(
        basis=basis_of(host), actor=alice, message="open ssh", draft_version=host.draft_version
    )
    outcome_record(outcome=outcome_of(apply, "awaiting", 0))
    return apply


@pytest.fixture
def path(apply: Apply) -> str:
    """The address of its page."""
    return f"{HOST}/applies/{apply.pk}/"


@pytest.fixture
def second(db: None) -> Client:
    """A browser in which bob is signed in."""
    client = Client()
    client.force_login(make_admin("bob"))
    return client


def test_access(working: Client, path: str) -> None:
    assert_access(f"{path}nonce/", working)
    assert_access(f"{path}keep/", working)
    assert_access(f"{path}roll-back/", working, methods="post")
    assert_access(f"{path}extend/", working, methods="post")
    assert_access(f"{HOST}/window/", working)
    for place in ("roll-back/", "extend/"):
        assert working.get(path + place).status_code == 405
    assert working.post(f"{path}nonce/").status_code == 405
    assert working.head(f"{path}nonce/").status_code == 405


def test_the_ring_and_the_text_tell_the_time_left(working: Client, path: str) -> None:
    page = working.get(path)
    body = page.content.decode()
    left = re.search(r'stroke-dasharray="(\d+) 100"', body)
    assert left is not None
    assert 0 < int(left[1]) <= 100
    assert 'data-seconds="60"' in body
    assert has_no_inline_code(page)
    # The steps are one line, which says how far the apply came.
    assert '<details class="card steps-card" id="steps">' in body
    assert "Steps 2 of 11 done in" in text_of(page)


def test_answers_need_the_forms_own_token(working: Client, path: str, admin: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    for place in ("keep/", "roll-back/", "extend/"):
        assert strict.post(path + place, {"nonce": "x", "seconds": "120"}).status_code == 403
    assert Apply.objects.get().answer == ""


def test_the_page_counts_down_with_both_buttons_side_by_side(working: Client, path: str) -> None:
    page = working.get(path)
    words = text_of(page)
    assert "Revision 1 is loaded but not confirmed." in words
    assert "Keep revision 1?" in words
    assert re.search(r"The previous rules return at \d\d:\d\d:\d\d UTC unless you click Keep\.", words)
    assert "Closing this page does not keep the change." in words
    assert "Keep Roll back now" in words
    assert "15 min longer" in words
    assert re.search(r'data-seconds-left="(5\d|60)\.\d"', page.content.decode())
    assert has_no_inline_code(page)


def test_another_admin_sees_who_may_keep(second: Client, path: str) -> None:
    page = second.get(path)
    words = text_of(page)
    assert "unless alice clicks Keep." in words
    assert "Only alice , who started this apply, can keep or extend it." in words
    assert "Roll back now" in words
    assert 'id="keep"' not in page.content.decode()
    assert "data-nonce-url" not in page.content.decode()
    assert second.get(f"{path}nonce/").status_code == 409
    assert second.get(f"{path}nonce/").json()["problem"].startswith("Only alice")


def test_keep_with_the_key(working: Client, path: str) -> None:
    answer = working.get(f"{path}nonce/")
    assert "no-store" in answer["Cache-Control"]
    nonce = answer.json()["nonce"]
    piece = working.post(f"{path}keep/", {"nonce": nonce}, headers=HTMX)
    assert piece.status_code == 200
    assert "Keep was sent to the root worker." in text_of(piece)
    assert "is loaded but not confirmed" in text_of(piece)
    assert Apply.objects.get().answer == "keep"
    again = working.post(f"{path}keep/", {"nonce": nonce}, headers=HTMX)
    assert again.status_code == 409
    assert "opened again in another tab, or Keep was sent twice" in text_of(again)
    outcome_record(outcome=outcome_of(Apply.objects.get(), "confirmed", 1))
    done = working.get(f"{path}status/")
    assert done.status_code == 286
    assert '<p class="muted wrap">Confirmed by alice.</p>' in done.content.decode()
    assert 'id="window-banner"' in done.content.decode()


def test_an_answer_that_comes_after_the_end_brings_the_lines_above(
    working: Client, path: str, apply: Apply, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept_at_once(**answer: Any) -> Apply:
        apply_keep(**answer)
        outcome_record(outcome=outcome_of(Apply.objects.get(), "confirmed", 1))
        return apply

    nonce = working.get(f"{path}nonce/").json()["nonce"]
    monkeypatch.setattr("rules.applying.answer_views.apply_keep", kept_at_once)
    piece = working.post(f"{path}keep/", {"nonce": nonce}, headers=HTMX)
    assert "Revision 1 was loaded, read back and confirmed" in text_of(piece)
    assert 'id="pending-button"' in piece.content.decode()
    assert 'id="window-banner"' in piece.content.decode()
    assert "pending change" not in text_of(piece)


def test_a_keep_over_an_old_connection_counts_over_the_next_one(
    working: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce = working.get(f"{path}nonce/").json()["nonce"]
    before_the_load = timezone.now() - timedelta(minutes=5)
    monkeypatch.setattr("rules.applying.answer_views.connected_at", lambda request: before_the_load)
    refused = working.post(f"{path}keep/", {"nonce": nonce}, headers=HTMX)
    assert (refused.status_code, refused[AGAIN]) == (409, "1")
    assert "a connection from before the load" in text_of(refused)
    assert Apply.objects.get().answer == ""
    monkeypatch.undo()
    wrong = working.post(f"{path}keep/", {"nonce": "another"}, headers=HTMX)
    assert wrong.status_code == 409
    assert AGAIN not in wrong
    kept = working.post(f"{path}keep/", {"nonce": nonce}, headers=HTMX)
    assert kept.status_code == 200
    assert Apply.objects.get().answer == "keep"


def test_keep_without_scripts_goes_by_a_page_of_its_own(working: Client, path: str) -> None:
    asked = working.post(f"{path}keep/", {"nonce": ""})
    assert (asked.status_code, asked["Location"]) == (302, f"{path}keep/")
    page = working.get(f"{path}keep/")
    assert has_no_inline_code(page)
    assert "no-store" in page["Cache-Control"]
    nonce = page.context["nonce"]
    assert f'value="{nonce}"' in page.content.decode()
    done = working.post(f"{path}keep/", {"nonce": nonce})
    assert (done.status_code, done["Location"]) == (302, path)
    assert Apply.objects.get().answer == "keep"


def test_roll_back_now_by_anybody(second: Client, path: str, apply: Apply) -> None:
    done = second.post(f"{path}roll-back/")
    assert (done.status_code, done["Location"]) == (302, path)
    assert "Roll back was sent to the root worker." in text_of(second.get(path))
    way_back = {"reason": "asked", "summary": "The previous rules are active again."}
    outcome_record(outcome=outcome_of(apply, "rolled_back", 1, {"way_back": way_back}))
    words = text_of(second.get(path))
    assert "Revision 1 was rolled back. The previous rules are active again." in words
    assert "Requested by bob" in words
    late = second.post(f"{path}roll-back/", follow=True)
    assert "The window of revision 1 is not open: the apply is rolled back." in text_of(late)


def test_more_time_is_asked_for_and_shown(working: Client, path: str, apply: Apply) -> None:
    refused = working.post(f"{path}extend/", {"seconds": "30"}, headers=HTMX)
    assert refused.status_code == 422
    assert "30 seconds is not longer than the open window (allowed: 61 to 3600)" in text_of(refused)
    asked = working.post(f"{path}extend/", {"seconds": "360"}, headers=HTMX)
    assert "Extend was sent to the root worker." in text_of(asked)
    seen = working.get(f"{path}status/").context["seen"]
    outcome_record(outcome=outcome_of(apply, "awaiting", 1, {"window": window_of(360, left=355)}))
    longer = working.get(f"{path}status/", {"seen": seen})
    assert longer.status_code == 200
    assert re.search(r'data-seconds-left="35\d\.\d"', longer.content.decode())


def test_a_silent_rollback_is_explained(working: Client, path: str, apply: Apply) -> None:
    way_back = {"reason": "silence", "summary": "The window ended without an answer."}
    outcome_record(outcome=outcome_of(apply, "rolled_back", 1, {"way_back": way_back}))
    words = text_of(working.get(path))
    assert (
        "was rolled back. The previous rules are active again. The window ended without an answer." in words
    )
    assert "Requested by" not in words


def test_every_other_page_has_a_line_about_it(working: Client, path: str, apply: Apply) -> None:
    for place in ("", "rules/", "review/", "history/", "live/", "settings/"):
        page = working.get(f"{HOST}/{place}")
        words = text_of(page)
        assert re.search(r"Revision 1 is loaded but not confirmed\. It will be rolled back at", words), place
        assert f'href="{path}"' in page.content.decode()
    assert "awaiting confirmation" in text_of(working.get(f"{HOST}/history/"))
    assert "awaiting confirmation" in text_of(working.get(f"{HOST}/history/1/"))
    assert "waits for confirmation until" in text_of(working.get(f"{HOST}/review/"))
    assert "Revision 1" in text_of(working.get(f"{HOST}/window/"))
    outcome_record(outcome=outcome_of(apply, "rolled_back", 1))
    assert text_of(working.get(f"{HOST}/window/")) == ""
    assert "not confirmed" not in text_of(working.get(f"{HOST}/"))


def test_no_page_leads_to_a_review_whose_apply_is_refused(
    working: Client, host: Host, path: str, apply: Apply
) -> None:
    button = 'class="button primary" href="/hosts/local/review/"'
    for place in (path, f"{path}status/", f"{HOST}/rules/"):
        words = text_of(page := working.get(place))
        assert "is loaded but not confirmed" in words
        assert button not in page.content.decode()
    outcome_record(outcome=outcome_of(apply, "rolled_back", 1))
    for place in (path, f"{path}status/", f"{HOST}/rules/"):
        words = text_of(page := working.get(place))
        assert "Review 2 changes" in words
        assert button in page.content.decode()


def test_the_page_of_an_apply_that_htmx_puts_in_brings_its_navigation(
    working: Client, host: Host, alice: Actor
) -> None:
    review = working.get(f"{HOST}/review/").content.decode()
    assert 'hx-select-oob="#pages,' in review
    host.refresh_from_db()
    values = {"version": host.draft_version, "sequence": host.sequence, "message": "m", "window": "60"}
    answer = working.post(f"{HOST}/review/", values, headers=HTMX).content.decode()
    pages = re.search(r'<nav [^>]*id="pages".*?</nav>', answer, re.DOTALL)
    assert pages
    assert re.findall(r'aria-current="page">(\w+)', pages[0]) == ["History"]


def test_the_review_asks_for_the_window(working: Client, host: Host, alice: Actor) -> None:
    page = working.get(f"{HOST}/review/")
    assert '<option value="60" selected>1 minute</option>' in page.content.decode()
    host.refresh_from_db()
    values = {"version": host.draft_version, "sequence": host.sequence, "message": "m"}
    wrong = working.post(f"{HOST}/review/", {**values, "window": "5"})
    assert wrong.status_code == 422
    assert not Apply.objects.exists()
    working.post(f"{HOST}/review/", {**values, "window": "300"})
    assert Apply.objects.get().window_seconds == 300
