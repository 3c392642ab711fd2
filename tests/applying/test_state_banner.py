"""The line about the host's state that every page shows: drift, a silent root worker, nothing applied."""

from __future__ import annotations

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Host
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
PAGES = (
    "rules/",
    "rules/new/",
    "exposure/",
    "review/",
    "live/",
    "trace/",
    "history/",
    "settings/",
    "import/",
)
DRIFT = "Drift: the kernel does not hold revision 1 as it was applied."
SILENT = "Unknown: 2 minutes ago the kernel held revision 1. It has not been read since."


@pytest.fixture
def applied(host: Host, alice: Actor, working: Client) -> Host:
    """The host with revision 1 confirmed."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    confirm(host, alice)
    return host


def line(client: Client, path: str = f"{HOST}/rules/") -> str:
    """Return the words of the line on a page, empty where there is none."""
    body = client.get(path).content.decode()
    assert body.count('id="state-banner"') == 1, path
    piece = body.partition('id="state-banner"')[2].partition('id="window-banner"')[0]
    return " ".join(piece.partition("<strong>")[2].partition("</strong>")[0].split())


def test_access(signed_in: Client) -> None:
    assert_access(f"{HOST}/state/", signed_in)


@pytest.mark.parametrize("path", [*(f"{HOST}/{page}" for page in PAGES), "/audit/", "/password/"])
def test_drift_is_on_every_page(working: Client, applied: Host, path: str) -> None:
    snapshot_store(applied, None)
    assert line(working, path) == DRIFT


def test_a_protected_host_has_no_line(working: Client, applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1)
    assert line(working) == ""
    assert text_of(working.get(f"{HOST}/state/")) == ""


def test_a_silent_root_worker_is_on_every_page(working: Client, applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1, age=60)
    # The page has just asked for a new one.
    assert line(working) == ""
    snapshot_store(applied, draft_document(applied), 1, age=120)
    assert line(working) == SILENT
    assert SILENT in text_of(working.get(f"{HOST}/state/"))


def test_old_drift_is_not_forgotten_while_the_root_worker_is_silent(working: Client, applied: Host) -> None:
    snapshot_store(applied, None, age=30)
    assert line(working).startswith("Unknown: 30 seconds ago the kernel did not hold revision 1")


def test_without_any_report_the_state_is_unknown(working: Client, applied: Host) -> None:
    assert line(working) == "Unknown: there is no report of what the kernel holds."


def test_before_the_first_apply_the_host_is_not_protected(working: Client, host: Host) -> None:
    snapshot_store(host, None)
    assert line(working).startswith("Nothing has been applied yet")


def test_a_poll_after_the_session_has_ended_leaves_the_page(host: Host) -> None:
    poll = {"HX-Request": "true", "HX-Target": "state-banner"}
    answer = Client().get(f"{HOST}/state/", headers=poll, follow=True)
    assert (answer.status_code, answer.content) == (204, b"")
