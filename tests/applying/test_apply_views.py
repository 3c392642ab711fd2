"""The page of one apply: steps as they happen, failures in iptables' own words."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from rules.applying.apply_services import apply_start
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.rule_services import rule_create
from rules.models import Apply, Host
from rules.pages.requests import host_or_404
from tests.rig.kernel_reports import outcome_of, progress_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


@pytest.fixture
def apply(host: Host, alice: Actor, queue: object) -> Apply:
    """An apply that waits for the root worker."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    host.refresh_from_db()
    return apply_start(
        basis=basis_of(host), actor=alice, message="open ssh", draft_version=host.draft_version
    )


def path_of(apply: Apply) -> str:
    """Return the address of an apply's page."""
    return f"{HOST}/applies/{apply.pk}/"


def test_access(working: Client, apply: Apply) -> None:
    assert_access(path_of(apply), working)
    assert_access(f"{path_of(apply)}status/", working)
    assert working.get(f"{HOST}/applies/{uuid.uuid4()}/").status_code == 404
    Host.objects.create(name="other")
    assert working.get(path_of(apply).replace("/local/", "/other/")).status_code == 404


def test_while_it_waits_the_page_asks_by_itself(working: Client, apply: Apply) -> None:
    page = working.get(path_of(apply))
    assert "Waiting for the root worker." in text_of(page)
    assert "every 600ms" in page.content.decode()
    assert has_no_inline_code(page)


def test_nothing_new_costs_a_204_and_progress_is_shown(working: Client, apply: Apply) -> None:
    status = f"{path_of(apply)}status/"
    seen = working.get(status).context["seen"]
    assert working.get(status, {"seen": seen}).status_code == 204
    progress_store(outcome_of(apply, "loading", 0))
    piece = working.get(status, {"seen": seen})
    assert piece.status_code == 200
    assert "Loading revision 1." in text_of(piece)
    assert "Validate the document : done 0.02 s" in text_of(piece)


def test_the_end_stops_the_asking(working: Client, apply: Apply) -> None:
    outcome_record(outcome=outcome_of(apply, "confirmed", 0))
    answer = working.get(f"{path_of(apply)}status/")
    assert answer.status_code == 286
    page = working.get(path_of(apply))
    assert "Revision 1 was loaded, read back and confirmed for IPv4 and IPv6." in text_of(page)
    assert "every 600ms" not in page.content.decode()


@pytest.mark.parametrize(("end", "status"), [("", 200), ("status/", 286)])
def test_the_host_is_never_shown_older_than_the_apply(
    working: Client, apply: Apply, monkeypatch: pytest.MonkeyPatch, end: str, status: int
) -> None:
    def then_the_clerk_writes(name: str) -> Host:
        found = host_or_404(name)
        outcome_record(outcome=outcome_of(apply, "confirmed", 0))
        return found

    assert "2 pending changes" in text_of(working.get(f"{path_of(apply)}{end}"))
    monkeypatch.setattr("rules.applying.apply_views.host_or_404", then_the_clerk_writes)
    answer = working.get(f"{path_of(apply)}{end}")
    assert answer.status_code == status
    assert "Revision 1 was loaded, read back and confirmed" in text_of(answer)
    assert 'id="pending-button"' in answer.content.decode()
    assert "pending change" not in text_of(answer)


def test_a_failure_shows_the_line_beside_iptables_words(working: Client, apply: Apply) -> None:
    outcome_record(outcome=outcome_of(apply, "failed", 0))
    page = working.get(path_of(apply))
    words = text_of(page)
    assert "Revision 1 was not applied." in words
    assert "Generated line 7 -A FILTERS -j NOWHERE Output of iptables line 7 failed" in words
    assert "Command: iptables-restore -n , exit status 1" in words
    assert "Validate the document : failed" in words
    assert "Steps Validate the document: failed" in words
    assert 'id="steps" open>' in page.content.decode()
    assert f'href="{HOST}/review/"' in page.content.decode()


def test_a_root_worker_that_does_not_know_the_format_is_named(working: Client, apply: Apply) -> None:
    """Release 0.1.0 answers with these words to a document with groups."""
    summary = 'format: dockerfw/2 is not "dockerfw/1"\nrules[0].sources: unknown key'
    error = {"step": "validate", "summary": summary, "command": None, "exit_status": None}
    error |= {"stderr": "", "line_number": None, "line": None}
    outcome_record(outcome=outcome_of(apply, "failed", 0, {"error": error}))
    words = text_of(working.get(path_of(apply)))
    assert "The root worker of this host is of release 0.1.0" in words
    assert "Upgrade it, then apply again." in words
