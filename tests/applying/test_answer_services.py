"""Answers to an open confirmation window: allowed admins, proofs, and the orders that the host gets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.messages.orders import Answer
from rules.applying.answer_services import (
    OLD_CONNECTION,
    apply_extend,
    apply_keep,
    apply_nonce_create,
    apply_roll_back,
)
from rules.applying.apply_errors import (
    ApplyWaiting,
    KeyRefused,
    NotAwaiting,
    NotYours,
    OldConnection,
    QueueUnavailable,
)
from rules.applying.apply_selectors import apply_get
from rules.applying.apply_services import apply_start, rollback_start
from rules.applying.expiry_services import applies_expire
from rules.applying.history_selectors import history_page
from rules.applying.kernel_selectors import kernel_sentence
from rules.applying.outcome_services import outcome_record
from rules.applying.window_selectors import clock_text
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import base_revision, draft_document
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Apply, AuditEvent, Host, Revision
from rules.pages.errors import Invalid
from rules.seen.snapshot_selectors import latest_snapshot
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of, progress_store, snapshot_store, window_of
from tests.rig.redis_fixtures import RedisServer

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
NEXT = {"scope": "host", "protocol": "tcp", "ports": ["23"], "source": "192.0.2.0/24"}


def answers(host: Host) -> list[Answer]:
    """Return the answers that wait in the root worker's queue."""
    queue = Queue(f"firewall-{host.name}", connection=client.connection(), serializer=JSONSerializer)
    jobs = [queue.fetch_job(job_id) for job_id in queue.job_ids]
    return [Answer.from_json(job.args[0]) for job in jobs if job is not None and job.func_name == "answer"]


@pytest.fixture
def apply(host: Host, alice: Actor, queue: RedisServer) -> Apply:
    """An apply that alice started and that awaits confirmation for a minute."""
    rule_create(host=host, actor=alice, values=SSH)
    host.refresh_from_db()
    apply = apply_start(
        basis=basis_of(host), actor=alice, message="open ssh", draft_version=host.draft_version
    )
    outcome_record(outcome=outcome_of(apply, "awaiting", 0))
    apply.refresh_from_db()
    return apply


def key(apply: Apply, actor: Actor) -> str:
    return apply_nonce_create(apply=apply, actor=actor, connected_at=timezone.now())


def keep(apply: Apply, actor: Actor, nonce: str) -> Apply:
    return apply_keep(apply=apply, actor=actor, nonce=nonce, connected_at=timezone.now())


def test_awaiting_is_not_confirmed(apply: Apply, host: Host) -> None:
    assert apply.state == "awaiting"
    assert apply.finished_at is None
    assert base_revision(Host.objects.get()) is None
    view = apply_get(apply.pk)
    assert view is not None
    assert view.window is not None
    assert 55 < view.window.seconds_left <= 60
    assert not view.finished
    # Not the last step but the answer writes the boot files: that step has not been reached, nor skipped.
    assert {step.name: step.state for step in view.steps}["boot-files"] == "waiting"


def test_the_one_who_started_it_keeps_it_with_a_key_that_counts_once(
    apply: Apply, host: Host, alice: Actor, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    nonce = key(apply, alice)
    with django_capture_on_commit_callbacks(execute=True):
        keep(apply, alice, nonce)
    (answer,) = answers(host)
    assert (answer.apply, answer.answer, answer.seconds) == (str(apply.pk), "keep", None)
    assert answer.sequence > apply.sequence
    assert answer.sequence == Host.objects.get().sequence
    with pytest.raises(KeyRefused):
        keep(apply, alice, nonce)
    assert Apply.objects.get().state == "awaiting"
    outcome_record(outcome=outcome_of(apply, "confirmed", 1))
    done = Apply.objects.get()
    assert (done.state, done.answered_by) == ("confirmed", "alice")
    assert base_revision(Host.objects.get()) == apply.revision
    event = AuditEvent.objects.get(verb="apply-keep")
    assert (event.actor_name, event.target) == ("alice", "revision 1")


def test_a_key_is_only_for_new_connections_and_for_the_newest_fetch(apply: Apply, alice: Actor) -> None:
    old = timezone.now() - timedelta(seconds=5)
    with pytest.raises(KeyRefused, match=OLD_CONNECTION):
        apply_nonce_create(apply=apply, actor=alice, connected_at=old)
    first = key(apply, alice)
    second = key(apply, alice)
    with pytest.raises(KeyRefused):
        keep(apply, alice, first)
    with pytest.raises(KeyRefused, match=OLD_CONNECTION):
        apply_keep(apply=apply, actor=alice, nonce=second, connected_at=old)
    for wrong in ("", "x" * 32):
        with pytest.raises(KeyRefused):
            keep(apply, alice, wrong)
    keep(apply, alice, second)


@pytest.mark.parametrize("skew", [-40, 0, 40])
@pytest.mark.parametrize("clerk", [True, False])
def test_what_a_new_connection_is_does_not_hang_on_the_hosts_clock(
    host: Host, alice: Actor, queue: RedisServer, skew: int, clerk: bool
) -> None:
    before_the_load = timezone.now() - timedelta(seconds=1)
    rule_create(host=host, actor=alice, values=SSH)
    host.refresh_from_db()
    apply = apply_start(basis=basis_of(host), actor=alice, message="m", draft_version=host.draft_version)
    told = outcome_of(
        apply, "awaiting", 0, {"window": {**window_of(60, left=60 + skew), "seconds_left": 60.0}}
    )
    progress_store(told)
    if clerk:
        outcome_record(outcome=told)
    with pytest.raises(OldConnection):
        apply_nonce_create(apply=apply, actor=alice, connected_at=before_the_load)
    nonce = key(apply, alice)
    if not clerk:
        # Later the clerk does not make it younger.
        outcome_record(outcome=told)
    with pytest.raises(OldConnection):
        apply_keep(apply=apply, actor=alice, nonce=nonce, connected_at=before_the_load)
    keep(apply, alice, nonce)
    assert Apply.objects.get().answer == "keep"


def test_another_admin_may_only_roll_back(
    apply: Apply,
    host: Host,
    bob: Actor,
    alice: Actor,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with pytest.raises(NotYours, match="Only alice"):
        key(apply, bob)
    with pytest.raises(NotYours):
        keep(apply, bob, key(apply, alice))
    with pytest.raises(NotYours):
        apply_extend(apply=apply, actor=bob, seconds=120)
    with django_capture_on_commit_callbacks(execute=True):
        apply_roll_back(apply=apply, actor=bob)
    assert [answer.answer for answer in answers(host)] == ["rollback"]
    way_back = {"reason": "asked", "summary": "The previous rules are active again."}
    outcome_record(outcome=outcome_of(apply, "rolled_back", 1, {"way_back": way_back}))
    view = apply_get(apply.pk)
    assert view is not None
    assert view.way_back is not None
    assert (view.state, view.way_back.reason, view.apply.answered_by) == ("rolled_back", "asked", "bob")
    assert base_revision(Host.objects.get()) is None
    assert AuditEvent.objects.get(verb="apply-rolled_back").detail == way_back["summary"]


def test_a_window_grows_as_long_as_it_is_open(
    apply: Apply, host: Host, alice: Actor, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    for seconds in (0, 59, 60, 3601):
        with pytest.raises(Invalid, match="not longer than the open window"):
            apply_extend(apply=apply, actor=alice, seconds=seconds)
    with django_capture_on_commit_callbacks(execute=True):
        apply_extend(apply=apply, actor=alice, seconds=360)
    assert [(answer.answer, answer.seconds) for answer in answers(host)] == [("extend", 360)]
    # Until the host says so, the window is as long as it was.
    view = apply_get(apply.pk)
    assert view is not None
    assert view.window is not None
    assert (view.window.seconds, view.asked) == (60, "extend")
    outcome_record(outcome=outcome_of(apply, "awaiting", 1, {"window": window_of(360, left=350)}))
    view = apply_get(apply.pk)
    assert view is not None
    assert view.window is not None
    assert (view.window.seconds, view.asked) == (360, "")
    assert view.window.longer == ((420, "1 min longer"), (660, "5 min longer"), (1260, "15 min longer"))


def test_an_answer_that_could_not_be_carried_out_leaves_the_window_open(apply: Apply, alice: Actor) -> None:
    keep(apply, alice, key(apply, alice))
    error = {
        "step": "keep",
        "summary": "The boot files could not be written: No space left on device.",
        "command": None,
        "exit_status": None,
        "stderr": "",
        "line_number": None,
        "line": None,
    }
    changes = {"error": error, "window": window_of(60, left=30)}
    outcome_record(outcome=outcome_of(apply, "awaiting", 1, changes))
    view = apply_get(apply.pk)
    assert view is not None
    assert view.error is not None
    assert view.window is not None
    assert view.error.step == "keep"
    assert view.asked == ""
    assert base_revision(Host.objects.get()) is None
    keep(apply, alice, key(apply, alice))


def test_outside_the_window_nothing_is_answered(host: Host, alice: Actor, queue: RedisServer) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    host.refresh_from_db()
    apply = apply_start(basis=basis_of(host), actor=alice, message="m", draft_version=host.draft_version)
    with pytest.raises(NotAwaiting, match="is not open: the apply is queued"):
        key(apply, alice)
    outcome_record(outcome=outcome_of(apply, "awaiting", 0, {"window": window_of(60, left=-1)}))
    for answer in (lambda: key(apply, alice), lambda: apply_roll_back(apply=apply, actor=alice)):
        with pytest.raises(NotAwaiting, match="ended at"):
            answer()
    outcome_record(outcome=outcome_of(apply, "rolled_back", 1))
    with pytest.raises(NotAwaiting, match="the apply is rolled back"):
        key(apply, alice)


def test_without_the_clerk_the_root_workers_own_word_opens_the_window(
    host: Host, alice: Actor, queue: RedisServer
) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    host.refresh_from_db()
    apply = apply_start(basis=basis_of(host), actor=alice, message="m", draft_version=host.draft_version)
    progress_store(outcome_of(apply, "awaiting", 3))
    keep(apply, alice, key(apply, alice))
    assert Apply.objects.get().state == "queued"


def test_without_redis_the_answer_is_not_taken_for_given(
    apply: Apply,
    alice: Actor,
    queue: RedisServer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    nonce = key(apply, alice)
    with django_capture_on_commit_callbacks() as callbacks:
        keep(apply, alice, nonce)
    queue.stop()
    with pytest.raises(QueueUnavailable, match="The host rolls back on its own"):
        callbacks[0]()
    assert Apply.objects.get().answer == ""
    with pytest.raises(QueueUnavailable, match="The answer was not sent"):
        apply_roll_back(apply=apply, actor=alice)


def test_the_next_apply_waits_and_names_the_first(apply: Apply, host: Host, bob: Actor) -> None:
    host.refresh_from_db()
    assert apply.window_deadline is not None
    until = clock_text(apply.window_deadline)
    said = f"The apply of revision 1 by alice waits for confirmation until {until}."
    with pytest.raises(ApplyWaiting, match=said):
        apply_start(basis=basis_of(host), actor=bob, message="m", draft_version=host.draft_version)
    with pytest.raises(ApplyWaiting, match=said):
        rollback_start(basis=basis_of(host), actor=bob, number=1, message="m", expected_head=0)


def test_the_sentence_says_what_becomes_of_what_is_loaded(apply: Apply, host: Host) -> None:
    assert apply.window_deadline is not None
    until = clock_text(apply.window_deadline)
    host.refresh_from_db()
    document = draft_document(host)
    snapshot_store(host, None, age=3)
    unseen = kernel_sentence(basis_of(host))
    assert unseen.level == "unknown"
    assert (
        unseen.text
        == f"Revision 1 was loaded. The previous rules return at {until} unless alice clicks Keep."
    )
    snapshot_store(host, document, 1, age=-0.1)
    loaded = kernel_sentence(basis_of(host))
    assert loaded.level == "warn"
    assert loaded.text == (
        f"Revision 1 is loaded for IPv4 and IPv6. "
        f"The previous rules return at {until} unless alice clicks Keep."
    )
    snapshot_store(host, None, age=-0.2)
    drifted = kernel_sentence(basis_of(host))
    assert drifted.level == "bad"
    assert drifted.text.startswith("The kernel does not hold revision 1 as it was loaded.")
    page = history_page(host, snapshot=latest_snapshot(host))
    assert (page.entries[0].state, page.entries[0].confirmed) == ("awaiting", False)


def test_a_window_that_ended_unreported_is_not_called_loaded(
    host: Host, alice: Actor, queue: RedisServer
) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    revision = confirm(host, alice)
    old = draft_document(host)
    rule_create(host=host, actor=alice, values=NEXT)
    host.refresh_from_db()
    apply = apply_start(basis=basis_of(host), actor=alice, message="m", draft_version=host.draft_version)
    outcome_record(outcome=outcome_of(apply, "awaiting", 0, {"window": window_of(60, left=-2)}))
    snapshot_store(host, old, revision.number)
    sentence = kernel_sentence(basis_of(host))
    assert (sentence.level, sentence.text) == (
        "ok",
        "Protected: revision 1 is active for IPv4 and IPv6.",
    )
    view = apply_get(apply.pk)
    assert view is not None
    assert "The confirmation window has ended." in view.notice
    assert applies_expire() == 0
    assert applies_expire(now=timezone.now() + timedelta(minutes=16)) == 1
    given_up = Apply.objects.get(pk=apply.pk)
    assert given_up.state == "failed"
    # The host comes back after all, and tells what it did.
    assert outcome_record(outcome=outcome_of(apply, "rolled_back", 1))
    assert Apply.objects.get(pk=apply.pk).state == "rolled_back"
    assert base_revision(Host.objects.get()) == revision


def test_the_same_revision_is_loaded_and_kept_again(host: Host, alice: Actor, queue: RedisServer) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    revision = confirm(host, alice)
    snapshot_store(host, None)
    again = apply_start(basis=basis_of(host), actor=alice, message="again", draft_version=host.draft_version)
    assert again.revision == revision
    outcome_record(outcome=outcome_of(again, "awaiting", 0))
    outcome_record(outcome=outcome_of(again, "rolled_back", 1))
    # It was confirmed before, and still is what is wanted; the sentence says that the kernel lacks it.
    assert base_revision(Host.objects.get()) == revision
    snapshot_store(host, None)
    assert kernel_sentence(basis_of(Host.objects.get())).level == "bad"


def test_a_roll_back_that_is_rolled_back_leaves_base_and_draft(
    host: Host, alice: Actor, queue: RedisServer
) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    rule_create(host=host, actor=alice, values=NEXT)
    second = confirm(host, alice)
    apply = rollback_start(basis=basis_of(host), actor=alice, number=1, message="back", expected_head=2)
    outcome_record(outcome=outcome_of(apply, "awaiting", 0))
    outcome_record(outcome=outcome_of(apply, "rolled_back", 1))
    host.refresh_from_db()
    assert base_revision(host) == second
    assert len(draft_document(host).rules) == 2
    assert Revision.objects.get(number=3).restores == 1
    # Nothing stands in the way of the next try.
    rollback_start(basis=basis_of(host), actor=alice, number=1, message="back", expected_head=2)
