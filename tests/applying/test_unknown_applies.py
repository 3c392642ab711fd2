"""A forged order that a host carried out leaves a trace, and every page is red until an own apply is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockerfw.messages.outcomes import Outcome
from rules.applying import unknown_apply_services
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Apply, AuditEvent, Host
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of, snapshot_store
from tests.rig.redis_fixtures import RedisServer

FORGED = "00000000-0000-4000-8000-000000000000"
LOADED = {"revision": 66, "digest": "f" * 64}
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}


@pytest.fixture
def applied(host: Host, alice: Actor, queue: RedisServer) -> Host:
    """The host with revision 1 confirmed and in the kernel."""
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    snapshot_store(host, draft_document(host), 1)
    return host


def forged(state: str, event: int = 0, apply: str = FORGED) -> Outcome:
    """Return what the root worker reports of an order that no page made."""
    known = Apply.objects.get()
    return outcome_of(known, state, event, {"apply": apply, "loaded": LOADED})


def sentence(host: Host) -> KernelSentence:
    return kernel_sentence(basis_of(host))


def test_a_forged_order_that_is_kept_is_audited_once_and_shown_red(applied: Host, alice: Actor) -> None:
    assert sentence(applied).level == "ok"
    for outcome in (forged("loading"), forged("awaiting", 1), forged("confirmed", 2), forged("confirmed", 3)):
        assert not outcome_record(outcome=outcome)
    events = AuditEvent.objects.filter(verb="apply-unknown").order_by("pk")
    assert [event.after["state"] for event in events if event.after] == ["awaiting", "confirmed"]
    event = events.last()
    assert event is not None
    assert event.after is not None
    assert (event.host, event.after["revision"], event.after["digest"]) == (applied, 66, "f" * 64)
    # The kernel holds what was confirmed here, as far as the last snapshot tells.
    found = sentence(applied)
    assert found.level == "bad"
    assert found.text == (
        "Not protected: this host keeps revision 66 (ffffffffffff), "
        "and this dashboard has no record of that order."
    )
    assert "Check the audit log" in found.reasons[0]


def test_the_next_own_apply_ends_it(applied: Host, alice: Actor) -> None:
    outcome_record(outcome=forged("confirmed"))
    assert sentence(applied).level == "bad"
    rule_create(host=applied, actor=alice, values={**SSH, "ports": ["443"]})
    confirm(applied, alice)
    snapshot_store(applied, draft_document(applied), 2)
    assert sentence(applied).level == "ok"


def test_a_forged_order_is_red_while_it_waits_and_not_after_it_was_rolled_back(applied: Host) -> None:
    outcome_record(outcome=forged("awaiting"))
    assert sentence(applied).text.startswith("Not protected: this host has loaded revision 66")
    outcome_record(outcome=forged("rolled_back", 1))
    assert sentence(applied).level == "ok"


def test_a_forged_order_cannot_hide_an_earlier_one_that_was_kept(applied: Host) -> None:
    outcome_record(outcome=forged("confirmed"))
    other = FORGED.replace("0000-4", "1111-4")
    for event, state in enumerate(("awaiting", "rolled_back", "failed")):
        outcome_record(outcome=forged(state, event, other))
    assert "keeps revision 66" in sentence(applied).text


def test_refused_orders_do_not_fill_the_database(applied: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_apply_services, "MOST_ENDS", 3)
    for number in range(5):
        outcome_record(outcome=forged("failed", 0, FORGED[:-1] + str(number)))
    assert AuditEvent.objects.filter(verb="apply-unknown").count() == 3
    # What was loaded is always told.
    outcome_record(outcome=forged("confirmed", 0, FORGED[:-1] + "9"))
    assert sentence(applied).level == "bad"


def test_a_report_of_an_unknown_host_is_audited_too(applied: Host) -> None:
    outcome_record(outcome=replace(forged("confirmed"), host="nowhere"))
    event = AuditEvent.objects.get(verb="apply-unknown")
    assert event.host is None
    assert event.after is not None
    assert event.after["host"] == "nowhere"
    assert sentence(applied).level == "ok"
