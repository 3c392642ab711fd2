"""The frame of a page: the sidebar with its groups and the switcher of hosts."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from rules.models import Host
from tests.rig.web_pages import HOST, has_no_inline_code, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
GROUPS = (
    "Dashboard Firewall Rules Groups Checks Review"
    " Observe Exposure Refused Live Charts Trace Records History Audit"
)


def side(body: str) -> str:
    """Return the sidebar of a page."""
    return body.partition('id="side"')[2].partition('<div class="page">')[0]


def test_the_sidebar_has_three_groups_and_marks_the_page(working: Client, host: Host) -> None:
    page = working.get(f"{HOST}/expectations/")
    assert GROUPS in re.sub(r"\d+ pending changes? ", "", text_of(page))
    assert has_no_inline_code(page)
    assert re.findall(r'aria-current="page">(\w+)', page.content.decode()) == ["Checks"]


def test_one_host_needs_no_switcher(working: Client, host: Host) -> None:
    body = working.get(f"{HOST}/rules/").content.decode()
    assert 'class="menu hosts"' not in body


def test_several_hosts_are_one_click_apart(working: Client, host: Host) -> None:
    Host.objects.create(name="edge", title="Edge <1>")
    body = side(working.get(f"{HOST}/rules/").content.decode())
    assert re.search(r'<a href="/hosts/edge/">\s*Edge &lt;1&gt;</a>', body)
    assert '<a href="/hosts/local/" aria-current="true">' in body
