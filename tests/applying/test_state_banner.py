"""The line about the host's state that every page shows: drift, a silent root worker, nothing applied."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from dockerfw.chains.drift import Drift, DriftCode, DriftFinding
from rules.applying.frame_selectors import state_of
from rules.applying.kernel_selectors import KernelSentence
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
    assert text_of(working.get(f"{HOST}/state/")) == "Protected"


def test_a_silent_root_worker_is_on_every_page(working: Client, applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1, age=60)
    # The page has just asked for a new one.
    assert line(working) == ""
    snapshot_store(applied, draft_document(applied), 1, age=120)
    assert line(working) == SILENT
    assert SILENT in text_of(working.get(f"{HOST}/state/"))


def test_old_drift_is_not_forgotten_while_the_root_worker_is_silent(working: Client, applied: Host) -> None:
    snapshot_store(applied, None, age=30)
    assert re.match(r"Unknown: \d+ seconds ago the kernel did not hold revision 1", line(working))


def test_without_any_report_the_state_is_unknown(working: Client, applied: Host) -> None:
    assert line(working) == "Unknown: there is no report of what the kernel holds."


def test_before_the_first_apply_the_host_is_not_protected(working: Client, host: Host) -> None:
    snapshot_store(host, None)
    assert line(working).startswith("Nothing has been applied yet")


def pill(client: Client, path: str = f"{HOST}/rules/") -> tuple[str, str]:
    """Return the tone and the words of the pill on a page."""
    body = client.get(path).content.decode()
    found = re.search(r'<a class="pill (\w+)" id="state-pill".*?<span>([^<]+)</span></a>', body, re.DOTALL)
    assert found, path
    return found[1], found[2]


def test_the_pill_is_green_only_for_a_fresh_report_of_the_revision(working: Client, applied: Host) -> None:
    document = draft_document(applied)
    snapshot_store(applied, document, 1)
    assert pill(working) == pill(working, f"{HOST}/") == ("ok", "Protected")
    # Too old to claim anything: the first poll of the page is about to tell.
    snapshot_store(applied, document, 1, age=60)
    assert pill(working) == pill(working, f"{HOST}/state/") == ("wait", "Checking")
    snapshot_store(applied, document, 1, age=120)
    assert pill(working) == pill(working, f"{HOST}/") == ("warn", "Unknown")
    snapshot_store(applied, None)
    assert pill(working) == pill(working, f"{HOST}/review/") == ("bad", "Not protected")


def test_the_pill_names_another_program_that_changed_the_rules() -> None:
    def tone_and_words(*codes: DriftCode) -> tuple[str, str]:
        drift = Drift(tuple(DriftFinding(code, 4, "A difference.") for code in codes))
        shown = state_of(KernelSentence("bad", "Drift", (), timezone.now(), drift=drift)).pill
        return shown.tone, shown.text

    assert tone_and_words("rules-changed", "sets-changed") == ("bad", "Changed by another program")
    assert tone_and_words("rules-changed", "anchor-missing") == ("bad", "Not protected")
    assert tone_and_words("nothing-loaded") == ("bad", "Not protected")
    assert tone_and_words("docker-rules-gone") == ("bad", "Needs attention")


def test_the_pill_of_the_dashboard_asks_for_itself(working: Client, applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1)
    poll = {"HX-Request": "true", "HX-Target": "state-pill"}
    answer = working.get(f"{HOST}/state/", headers=poll).content.decode()
    assert 'hx-get="/hosts/local/state/"' in answer
    assert "hx-swap-oob" not in answer
    assert "hx-swap-oob" in working.get(f"{HOST}/state/").content.decode()


def test_a_poll_after_the_session_has_ended_leaves_the_page(host: Host) -> None:
    poll = {"HX-Request": "true", "HX-Target": "state-banner"}
    answer = Client().get(f"{HOST}/state/", headers=poll, follow=True)
    assert (answer.status_code, answer.content) == (204, b"")
