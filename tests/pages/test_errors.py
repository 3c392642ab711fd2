"""The error pages: a plain sentence, and what was not changed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client

from rules.overview import dashboard_views as dashboard
from tests.rig.page_fixtures import PASSWORD
from tests.rig.web_pages import HOST, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db


def test_an_unknown_page(signed_in: Client) -> None:
    answer = signed_in.get("/nothing/")
    assert answer.status_code == 404
    assert "Page not found" in text_of(answer)
    assert has_no_inline_code(answer)


def test_a_form_without_its_token_changes_nothing(admin: User) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/sign-in/", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 403
    assert "This form has expired" in text_of(answer)


def test_an_internal_error_says_that_the_firewall_stays(
    signed_in: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(host: object) -> None:
        raise RuntimeError("made by the test")

    monkeypatch.setattr(dashboard, "recent_applies", fail)
    signed_in.raise_request_exception = False
    answer = signed_in.get(f"{HOST}/")
    assert answer.status_code == 500
    assert "The firewall in the kernel stays as it is" in text_of(answer)
    assert "made by the test" not in text_of(answer)


@pytest.mark.parametrize("name", ["400", "403", "404", "500", "403_csrf"])
def test_error_pages_need_no_context(name: str) -> None:
    assert "<h1>" in render_to_string(f"{name}.html")
