"""The cookies of the pages: names of this installation's own, and bound to the host name under TLS."""

from __future__ import annotations

import pytest
from django.conf import settings as project
from django.contrib.auth.models import User
from django.test import Client

from dockerfw_site.cookies import cookie_name
from rules.accounts.setup_services import first_admin_link_create
from rules.models import Host
from tests.rig.page_fixtures import PASSWORD
from tests.rig.web_pages import text_of

ADVICE = "give dockerfw a host name of its own with TLS"


def test_two_installations_on_one_host_name_have_different_cookies() -> None:
    one, other = "a" * 50, "b" * 50
    names = {
        cookie_name(kind, key, secure=secure)
        for kind in ("session", "csrf")
        for key in (one, other)
        for secure in (True, False)
    }
    assert len(names) == 8
    assert cookie_name("session", one, secure=True) == cookie_name("session", one, secure=True)


@pytest.mark.parametrize("secure", [True, False])
def test_only_a_secure_cookie_is_bound_to_the_host_name(secure: bool) -> None:
    # (Over plain HTTP browsers refuse a cookie with this prefix.)
    assert cookie_name("csrf", "k" * 50, secure=secure).startswith("__Host-") is secure


@pytest.mark.django_db
def test_the_pages_set_these_cookies_and_no_other(admin: User, host: Host, no_queue: None) -> None:
    client = Client()
    client.get("/sign-in/")
    client.post("/sign-in/", {"username": "alice", "password": PASSWORD})
    client.get("/hosts/local/")
    # It leaves a message for the next page.
    client.post("/hosts/local/discard/", {"version": "0"})
    own = {project.SESSION_COOKIE_NAME, project.CSRF_COOKIE_NAME, project.MESSAGES_COOKIE_NAME}
    assert set(client.cookies) == own
    assert not own & {"sessionid", "csrftoken", "messages"}
    for cookie in client.cookies.values():
        # What a name with `__Host-` needs.
        assert (cookie["path"], cookie["domain"]) == ("/", "")
        assert bool(cookie["secure"]) is cookie.key.startswith("__Host-") is project.SESSION_COOKIE_SECURE
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"


@pytest.mark.django_db
def test_the_first_page_recommends_a_host_name_of_its_own_unless_there_is_tls(host: Host) -> None:
    link = f"/setup/{first_admin_link_create()}/"
    assert ADVICE in text_of(Client().get(link))
    assert ADVICE not in text_of(Client().get(link, secure=True))
