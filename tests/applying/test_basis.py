"""One basis per request: each thing is read once, and a transaction neither asks Redis nor simulates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from dockerfw.document.diff import DocumentDiff, diff_documents
from dockerfw.document.values import Document
from rules.applying import apply_services
from rules.applying.answer_services import apply_extend, apply_keep, apply_nonce_create, apply_roll_back
from rules.applying.apply_services import apply_start, rollback_start
from rules.applying.expiry_services import applies_expire
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft import draft_selectors
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.expectation_services import expectation_create
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Apply, Host, Revision
from rules.pages.errors import Conflict
from rules.seen import consequence_selectors, snapshot_selectors, surroundings_selectors
from tests.applying.test_review_views import order
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of, snapshot_store
from tests.rig.web_pages import HOST

# Real transactions: within the one of a test every statement would be inside an atomic block.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]

PATH = f"{HOST}/review/"
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
WEB = {"scope": "both", "protocol": "tcp", "ports": ["443"], "comment": "web"}
EXPECTED = {"protocol": "tcp", "port": 22, "passes": True, "comment": "ssh"}

# What asks Redis, compiles rules for the simulator, or asks the simulator.
SLOW = (
    (client, "_ask"),
    (snapshot_selectors, "parse_save"),
    (surroundings_selectors, "prepare"),
    (surroundings_selectors, "replay_load"),
    (consequence_selectors, "check_expectations"),
    (consequence_selectors, "exposure_changes"),
    (consequence_selectors, "check_access"),
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The calls of everything slow by name; one inside a transaction fails the test."""
    found: Counter[str] = Counter()

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if connection.in_atomic_block:
                pytest.fail(f"{name} was called inside a database transaction")
            found[name] += 1
            return function(*args, **kwargs)

        return call

    for module, name in SLOW:
        monkeypatch.setattr(module, name, watched(name, getattr(module, name)))
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the draft, the snapshot and the base revision were read."""
    found: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            found[name] += 1
            return function(*args, **kwargs)

        return call

    for module, name in (
        (draft_selectors, "_read_draft"),
        (draft_selectors, "load_document"),
        (client, "snapshot_head"),
        (client, "snapshot_read"),
        (snapshot_selectors, "parse_save"),
    ):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    return found


@pytest.fixture
def edited(host: Host, alice: Actor, working: Client) -> Host:
    """A host with revision 1 in the kernel, one rule more in its draft, and an expectation."""
    rule_create(host=host, actor=alice, values=SSH)
    expectation_create(host=host, actor=alice, values=EXPECTED)
    confirm(host, alice)
    snapshot_store(host, draft_document(host), 1)
    rule_create(host=host, actor=alice, values=WEB)
    host.refresh_from_db()
    return host


def start(host: Host, actor: Actor) -> Apply:
    host.refresh_from_db()
    version = host.draft_version
    return apply_start(basis=basis_of(host), actor=actor, message="why", draft_version=version)


def test_the_spy_notices_redis_inside_a_transaction(edited: Host, calls: Counter[str]) -> None:
    with pytest.raises(pytest.fail.Exception, match="_ask was called inside"), transaction.atomic():
        client.ping()


def test_an_apply_asks_and_simulates_before_its_transaction(
    edited: Host, working: Client, calls: Counter[str]
) -> None:
    assert working.post(PATH, order(edited)).status_code == 302
    assert Apply.objects.get(revision__number=2).state == "queued"
    assert calls["check_expectations"] == 1
    assert calls["_ask"] > 0
    assert client.order_place(host="local", job_id=Apply.objects.latest("sequence").job_id) == "queued"


def test_a_roll_back_asks_and_simulates_before_its_transaction(
    edited: Host, alice: Actor, calls: Counter[str]
) -> None:
    second = confirm(edited, alice, "second")
    assert second.number == 2
    apply = rollback_start(basis=basis_of(edited), actor=alice, number=1, message="back", expected_head=2)
    assert (apply.revision.number, apply.revision.restores) == (3, 1)
    assert calls["check_expectations"] == 1


def test_answers_ask_before_their_transaction(edited: Host, alice: Actor, calls: Counter[str]) -> None:
    apply = start(edited, alice)
    assert outcome_record(outcome=outcome_of(apply, "awaiting", 0))
    apply_extend(apply=apply, actor=alice, seconds=300)
    connected = timezone.now() + timedelta(seconds=1)
    nonce = apply_nonce_create(apply=apply, actor=alice, connected_at=connected)
    apply_keep(apply=apply, actor=alice, nonce=nonce, connected_at=connected)
    apply_roll_back(apply=apply, actor=alice)
    assert calls["_ask"] > 0


def test_giving_up_asks_before_its_transaction(edited: Host, alice: Actor, calls: Counter[str]) -> None:
    start(edited, alice)
    assert applies_expire(now=timezone.now() + timedelta(minutes=10)) == 1


def test_a_review_reads_each_thing_once(edited: Host, working: Client, reads: Counter[str]) -> None:
    snapshot_store(edited, draft_document(edited), 1, packets=7)
    reads.clear()
    assert working.get(PATH).status_code == 200
    assert reads["_read_draft"] <= 1
    assert reads["load_document"] <= 1
    assert reads["snapshot_head"] == 1
    assert reads["snapshot_read"] == 1
    # Once for each family.
    assert reads["parse_save"] == 2


def test_an_apply_reads_each_thing_once(
    edited: Host, working: Client, reads: Counter[str], alice: Actor
) -> None:
    values = {"scope": "host", "protocol": "tcp", "ports": ["23"], "source": "192.0.2.9"}
    rule_create(host=edited, actor=alice, values=values)
    snapshot_store(edited, draft_document(edited), 1, packets=9)
    form = order(edited)
    reads.clear()
    assert working.post(PATH, form).status_code == 302
    assert reads["_read_draft"] == 1
    assert reads["snapshot_head"] == 1
    assert reads["snapshot_read"] == 1
    assert reads["parse_save"] == 2


def test_a_draft_that_changes_after_the_basis_is_a_conflict(edited: Host, alice: Actor, bob: Actor) -> None:
    basis = basis_of(edited)
    rule_create(host=edited, actor=bob, values={"scope": "host", "source": "192.0.2.9"})
    # A refreshed row does not make an old draft the one of now.
    edited.refresh_from_db()
    with pytest.raises(Conflict, match="draft changed"):
        apply_start(basis=basis, actor=alice, message="why", draft_version=edited.draft_version)
    with pytest.raises(Conflict, match="draft changed") as caught:
        apply_start(basis=basis, actor=alice, message="why", draft_version=basis.draft_version)
    assert isinstance(caught.value.current, Host)
    assert not Apply.objects.filter(state="queued").exists()


def test_a_revision_that_is_confirmed_after_the_basis_is_a_conflict(
    edited: Host, alice: Actor, bob: Actor
) -> None:
    snapshot_store(edited, None)
    basis = basis_of(Host.objects.get(pk=edited.pk))
    confirm(edited, bob, "bob was first")
    with pytest.raises(Conflict, match="confirmed since"):
        apply_start(basis=basis, actor=alice, message="why", draft_version=edited.draft_version)
    with pytest.raises(Conflict, match="confirmed since"):
        rollback_start(basis=basis, actor=alice, number=1, message="back", expected_head=1)
    assert Revision.objects.count() == 2


def test_a_conflict_that_the_form_cannot_show_is_a_message(
    edited: Host, working: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply_services, "next_number", lambda host: 9)
    page = working.post(PATH, order(edited))
    assert page.status_code == 409
    assert "Another revision was made since this was reviewed. Nothing was applied." in page.content.decode()


def test_a_basis_holds_what_was_read(edited: Host) -> None:
    basis = basis_of(edited)
    assert basis.draft == draft_document(edited)
    assert isinstance(basis.base_document, Document)
    assert (basis.head, basis.view) == (1, basis.seen.view)
    with pytest.raises(AttributeError):
        basis.draft = Document()  # type: ignore[misc]


def test_a_review_and_its_apply_compare_the_documents_once(
    edited: Host, working: Client, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Document] = []

    def compare(old: Document | None, new: Document) -> DocumentDiff:
        compared.append(new)
        return diff_documents(old, new)

    monkeypatch.setattr(draft_selectors, "diff_documents", compare)
    rule_create(host=edited, actor=alice, values={**SSH, "source": "192.0.2.77"})
    edited.refresh_from_db()
    assert working.get(PATH).status_code == 200
    assert working.post(PATH, order(edited)).status_code == 302
    assert len(compared) == 1
    change = Revision.objects.latest("number").change
    assert change is not None
    assert change.startswith("2 rules added; ")
