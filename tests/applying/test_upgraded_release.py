"""After an upgrade: the kernel holds the confirmed revision, and the plan offers what this release adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.test import Client

from dockerfw.chains.render import render_compiled
from dockerfw.iptables.model import Family
from rules.applying.apply_errors import ApplyWaiting, NothingToApply
from rules.applying.apply_services import apply_start, rollback_start
from rules.applying.kernel_selectors import kernel_sentence
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Apply, AuditEvent, Host, Revision
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import loaded_store, outcome_of, save_of, snapshot_store
from tests.rig.new_release import NEW_LINE, install_new_release
from tests.rig.redis_fixtures import RedisServer
from tests.rig.reviews import review_draft, review_rollback
from tests.rig.web_pages import text_of

PATH = "/hosts/local/review/"
BACK = "/hosts/local/history/1/rollback/"


@pytest.fixture
def upgraded(host: Host, alice: Actor, queue: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The host with revision 1 active as the release before wrote it, and a release that writes NEW_LINE."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    confirm(host, alice)
    document = draft_document(host)
    saves: dict[Family, str] = {4: save_of(document, 4, 1), 6: save_of(document, 6, 1)}
    loaded_store(host, document, 1)
    install_new_release(monkeypatch)
    snapshot_store(host, saves=saves)
    yield host
    render_compiled.cache_clear()


def form(host: Host, message: str = "after the upgrade", version: int | None = None) -> dict[str, object]:
    host.refresh_from_db()
    return {
        "version": str(host.draft_version if version is None else version),
        "sequence": str(host.sequence),
        "message": message,
    }


def start(host: Host, actor: Actor) -> Apply:
    host.refresh_from_db()
    return apply_start(basis=basis_of(host), actor=actor, message="new", draft_version=host.draft_version)


def start_rollback(host: Host, actor: Actor) -> Apply:
    host.refresh_from_db()
    return rollback_start(basis=basis_of(host), actor=actor, number=1, message="new", expected_head=1)


def test_the_review_offers_to_load_the_revision_again(upgraded: Host, working: Client) -> None:
    assert kernel_sentence(basis_of(upgraded)).level == "ok"
    found = review_draft(upgraded)
    assert (found.nothing_to_apply, found.loads_again, found.revision_number) == (False, True, 1)
    page = working.get(PATH)
    words = text_of(page)
    assert NEW_LINE in words
    assert "No change of rules or settings: the draft has the same content as revision 1." in words
    assert "The kernel holds revision 1 as it was loaded. dockerfw would write some of its rules" in words
    assert "Apply revision 1 again" in words
    assert 'name="message"' in page.content.decode()
    assert "Restore revision 1" in text_of(working.get(BACK))


def test_it_is_the_same_revision_in_an_apply_of_its_own(upgraded: Host, working: Client) -> None:
    answer = working.post(PATH, form(upgraded))
    apply = Apply.objects.get(message="after the upgrade")
    assert answer["Location"] == f"/hosts/local/applies/{apply.pk}/"
    assert (apply.revision.number, apply.revision.message, apply.requested_by) == (1, "first", "alice")
    assert Revision.objects.count() == 1
    event = AuditEvent.objects.get(verb="apply-start")
    assert (event.target, event.detail) == ("revision 1", "after the upgrade")
    assert working.post(PATH, form(upgraded, "again")).status_code == 409


@pytest.mark.parametrize("begin", [start, start_rollback])
def test_two_admins_load_it_once(
    upgraded: Host, alice: Actor, bob: Actor, begin: Callable[[Host, Actor], Apply]
) -> None:
    first = begin(upgraded, alice)
    with pytest.raises(ApplyWaiting):
        begin(upgraded, bob)
    outcome_record(outcome=outcome_of(first, "confirmed", 0))
    document = draft_document(upgraded)
    loaded_store(upgraded, document, 1)
    snapshot_store(upgraded, document, 1)
    with pytest.raises(NothingToApply, match="the kernel already holds"):
        begin(upgraded, bob)
    assert review_draft(upgraded).nothing_to_apply
    back = review_rollback(upgraded, 1)
    assert back is not None
    assert back.nothing_to_apply
    assert Revision.objects.count() == 1


def test_a_new_label_alone_is_nothing_to_apply(
    host: Host, alice: Actor, queue: RedisServer, working: Client
) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    confirm(host, alice, "first")
    confirm(host, alice, "the same")
    snapshot_store(host, draft_document(host), 2)
    found = review_rollback(host, 1)
    assert found is not None
    assert found.plan is not None
    assert (found.revision_number, found.plan.relabel, found.nothing_to_apply) == (3, True, True)
    assert working.post(BACK, form(host, version=2)).headers["Location"] == "/hosts/local/"
    assert Revision.objects.count() == 2
