"""Sign-in, sign-out, the setup link and the password change."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from rules.accounts.setup_services import first_admin_link_create
from rules.models import AuditEvent, Host
from tests.rig.page_fixtures import PASSWORD
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
NEW = "another fine long password"


def test_sign_in_redirects_to_the_requested_page(admin: User) -> None:
    client = Client()
    asked = client.get("/hosts/local/rules/")
    assert asked["Location"] == "/sign-in/?next=/hosts/local/rules/"
    answer = client.post(
        asked["Location"], {"username": "alice", "password": PASSWORD, "next": "/hosts/local/rules/"}
    )
    assert answer["Location"] == "/hosts/local/rules/"


def test_a_wrong_password_is_refused_and_audited(admin: User) -> None:
    answer = Client().post("/sign-in/", {"username": "alice", "password": "no"})
    assert "Wrong username or password" in text_of(answer)
    assert AuditEvent.objects.filter(verb="sign-in-failed", target="alice").exists()
    assert has_no_inline_code(answer)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_sign_in_never_leads_to_another_site(admin: User, elsewhere: str) -> None:
    data = {"username": "alice", "password": PASSWORD, "next": elsewhere}
    assert Client().post("/sign-in/", data)["Location"] == "/"


def test_an_htmx_request_after_the_session_ended_redirects_the_whole_page(host: Host) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/hosts/local/live/?q=22"}
    answer = Client().get("/hosts/local/live/poll/", headers=headers, follow=True)
    assert answer["HX-Redirect"] == "/sign-in/?next=%2Fhosts%2Flocal%2Flive%2F%3Fq%3D22"


def test_sign_out_needs_a_post(signed_in: Client) -> None:
    assert signed_in.get("/sign-out/").status_code == 405
    assert signed_in.post("/sign-out/")["Location"] == "/sign-in/"
    assert signed_in.get("/audit/").status_code == 302
    assert AuditEvent.objects.filter(verb="sign-out").exists()


def test_the_setup_link_makes_the_first_admin_once(host: Host) -> None:
    link = f"/setup/{first_admin_link_create()}/"
    client = Client()
    data = {"username": "alice", "password1": PASSWORD, "password2": PASSWORD}
    page = client.get(link)
    assert has_no_inline_code(page)
    wrong = client.post(link, {**data, "password2": "something else entirely"})
    assert "The passwords do not match." in text_of(wrong)
    # What no browser gets back is not called kept.
    assert "Type both passwords again." in text_of(wrong)
    assert "Your input is kept" not in text_of(wrong)
    assert b'value="alice"' in wrong.content
    short = client.post(link, {**data, "password1": "short", "password2": "short"})
    assert "too short" in text_of(short)
    assert not User.objects.exists()
    assert client.post(link, data)["Location"] == f"{HOST}/start/"
    assert client.get("/audit/").status_code == 200
    again = Client().get(link)
    assert again.status_code == 410
    assert "This link is not valid" in text_of(again)
    assert Client().post(link, data).status_code == 410


def test_an_invented_setup_link_does_not_work(host: Host) -> None:
    first_admin_link_create()
    assert Client().get("/setup/invented/").status_code == 410


def test_the_password_page(signed_in: Client) -> None:
    assert_access("/password/", signed_in)
    wrong = signed_in.post("/password/", {"old_password": "no", "new_password1": NEW, "new_password2": NEW})
    assert "Nothing was saved." in text_of(wrong)
    data = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert signed_in.post("/password/", data)["Location"] == "/"
    assert signed_in.get("/audit/").status_code == 200
    assert AuditEvent.objects.filter(verb="password-change", actor_name="alice").exists()
    assert NEW not in str(list(AuditEvent.objects.values()))
