"""Applies: when one may start, its order, its recorded outcome, and the time limits without an answer."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from dockerfw.document.document import digest, parse_document
from dockerfw.messages.orders import EXPIRY_SECONDS, Order, firewall_queue
from dockerfw.messages.outcomes import REFUSED_EVENT, progress_key
from dockerfw.messages.signatures import find_signature_fault
from rules.applying.apply_errors import ApplyWaiting, NothingToApply, QueueUnavailable
from rules.applying.apply_selectors import apply_get, recent_applies, unfinished_apply
from rules.applying.apply_services import apply_start, rollback_start
from rules.applying.expiry_services import applies_expire
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import base_revision, draft_document, pending_diff
from rules.draft.rule_services import rule_create, rule_update
from rules.link import client
from rules.link.sequence import sequence_next
from rules.models import Apply, AuditEvent, Host, Revision
from rules.pages.errors import Conflict, Invalid, NotFound
from rules.seen.change_selectors import last_change
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of, progress_store, snapshot_store
from tests.rig.redis_fixtures import RedisServer
from tests.rig.signing import KEY

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
WEB = {"scope": "both", "protocol": "tcp", "ports": ["443"], "comment": "web"}


def orders(host: Host) -> list[Order]:
    """Return the orders in the root worker's queue."""
    queue = Queue(f"firewall-{host.name}", connection=client.connection(), serializer=JSONSerializer)
    jobs = [queue.fetch_job(job_id) for job_id in queue.job_ids]
    assert all(isinstance(job, Job) and job.func_name == "apply" for job in jobs)
    return [Order.from_json(job.args[0]) for job in jobs if job is not None]


def start(host: Host, actor: Actor, message: str = "why") -> Apply:
    host.refresh_from_db()
    return apply_start(basis=basis_of(host), actor=actor, message=message, draft_version=host.draft_version)


@pytest.fixture
def edited(host: Host, alice: Actor) -> Host:
    """The host with one rule in its draft."""
    rule_create(host=host, actor=alice, values=SSH)
    host.refresh_from_db()
    return host


def test_a_revision_stores_what_it_changed(queue: RedisServer, edited: Host, alice: Actor) -> None:
    start(edited, alice)
    told = "1 rule added, 1 setting changed; 22/tcp becomes reachable from anywhere on the host"
    assert Revision.objects.get().change == told


INDEXES_OF_APPLIES = (
    "INDEX apply_newest_of_host",
    "INDEX apply_state_of_host",
    "COVERING INDEX apply_state_of_host",
    # The primary key.
    "INDEX sqlite_autoindex_rules_apply_1",
)


def test_the_newest_applies_are_found_by_an_index_and_without_documents(
    queue: RedisServer, edited: Host, alice: Actor
) -> None:
    start(edited, alice)
    with CaptureQueriesContext(connection) as queries:
        assert recent_applies(edited)
        assert unfinished_apply(edited)
        last_change(edited)
    asked = [each["sql"] for each in queries if 'FROM "rules_apply"' in each["sql"]]
    # Whether one is unfinished, and which are the newest, is asked before Django writes a whole query.
    assert len(asked) == 5
    assert not any('"rules_revision"."document"' in sql for sql in asked)
    with connection.cursor() as cursor:
        for sql in asked:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = [str(row[3]) for row in cursor.fetchall()]
            assert any(f" USING {index}" in line for line in plan for index in INDEXES_OF_APPLIES), plan


@pytest.mark.django_db
def test_an_order_carries_the_revision_and_its_job_is_named_briefly(
    edited: Host,
    alice: Actor,
    queue: RedisServer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    rule_create(host=edited, actor=alice, values={**WEB, "source": "2001:db8::/32"})
    with django_capture_on_commit_callbacks(execute=True):
        apply = start(edited, alice)
    (order,) = orders(edited)
    assert order.document == json.loads(Revision.objects.get().document)
    assert digest(parse_document(order.document)) == order.digest
    job = Job.fetch(
        f"firewall-local_order-{apply.pk}", connection=client.connection(), serializer=JSONSerializer
    )
    assert job.description == "apply"


@pytest.mark.django_db
def test_an_apply_freezes_the_draft_and_orders_it(
    edited: Host,
    alice: Actor,
    queue: RedisServer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        apply = start(edited, alice, "  open ssh ")
        assert orders(edited) == []
    revision = Revision.objects.get()
    document = draft_document(edited)
    assert (revision.number, revision.author_name, revision.message) == (1, "alice", "open ssh")
    assert revision.digest == digest(document)
    assert revision.parent is None
    assert parse_document(json.loads(revision.document)) == document
    (order,) = orders(edited)
    assert order.apply == str(apply.pk)
    assert (order.revision, order.digest, order.host) == (1, revision.digest, "local")
    assert order.sequence == Host.objects.get().sequence == apply.sequence
    assert order.sequence > 1_600_000_000_000
    assert parse_document(dict(order.document)) == document
    assert client.order_place(host="local", job_id=apply.job_id) == "queued"
    event = AuditEvent.objects.get(verb="apply-start")
    assert (event.actor_name, event.target, event.detail) == ("alice", "revision 1", "open ssh")


def test_an_apply_needs_a_message_and_the_draft_that_was_reviewed(
    edited: Host, alice: Actor, bob: Actor, queue: RedisServer
) -> None:
    for message in (
        "",
        "  \n ",
        "x" * 2001,
        "a\u202eb",
        "two\nlines",
        "\x1b[2J",
        "zero\u200bwidth",
        "\U000e0041",
    ):
        with pytest.raises(Invalid) as bad:
            start(edited, alice, message)
        assert bad.value.errors[0].path == "message"
    seen = edited.draft_version
    rule_create(host=edited, actor=bob, values=WEB)
    with pytest.raises(Conflict) as caught:
        apply_start(basis=basis_of(edited), actor=alice, message="m", draft_version=seen)
    assert isinstance(caught.value.current, Host)
    assert not Revision.objects.exists()


def test_a_second_apply_waits_for_the_first(
    edited: Host, alice: Actor, bob: Actor, queue: RedisServer
) -> None:
    first = start(edited, alice)
    rule_create(host=edited, actor=bob, values=WEB)
    with pytest.raises(ApplyWaiting, match="The apply of revision 1 by alice is queued") as caught:
        start(edited, bob)
    assert caught.value.apply == first
    with pytest.raises(ApplyWaiting):
        rollback_start(basis=basis_of(edited), actor=bob, number=1, message="m", expected_head=0)


def test_an_order_is_signed(
    edited: Host,
    alice: Actor,
    queue: RedisServer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        start(edited, alice)
    (order,) = orders(edited)
    assert find_signature_fault(order.to_json(), KEY.public_key()) is None


KEYS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "cannot be read (No such file or directory)"),
    "no key": (
        b"-----BEGIN PRIVATE KEY-----\nsecret",
        "cannot be used: it is not an Ed25519 private key in PEM",
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_without_a_key_nothing_is_written(
    edited: Host, alice: Actor, queue: RedisServer, settings: Settings, tmp_path: Path, name: str
) -> None:
    content, words = KEYS[name]
    settings.SIGNING_KEY_FILE = tmp_path / "signing.key"
    if content is not None:
        settings.SIGNING_KEY_FILE.write_bytes(content)
    with pytest.raises(QueueUnavailable, match="Nothing was applied: the dashboard's key") as caught:
        start(edited, alice)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not Revision.objects.exists()
    assert not Apply.objects.exists()


def test_an_apply_goes_on_after_a_forged_message_that_named_it(
    edited: Host, alice: Actor, queue: RedisServer
) -> None:
    apply = start(edited, alice)
    assert outcome_record(outcome=outcome_of(apply, "failed", REFUSED_EVENT))
    assert not outcome_record(outcome=outcome_of(apply, "failed", REFUSED_EVENT))
    assert outcome_record(outcome=outcome_of(apply, "confirmed", 10_000))
    apply.refresh_from_db()
    assert (apply.state, apply.error) == ("confirmed", None)
    assert base_revision(Host.objects.get()) == apply.revision


def test_without_redis_nothing_is_written(edited: Host, alice: Actor, no_queue: None) -> None:
    with pytest.raises(QueueUnavailable, match="Nothing was applied: Redis does not answer"):
        start(edited, alice)
    assert not Revision.objects.exists()
    assert not Apply.objects.exists()


def test_an_unchanged_draft_is_applied_again_only_when_the_kernel_drifted(
    edited: Host, alice: Actor, queue: RedisServer
) -> None:
    revision = confirm(edited, alice)
    document = draft_document(edited)
    snapshot_store(edited, document, revision.number)
    with pytest.raises(NothingToApply, match="revision 1"):
        start(edited, alice)
    snapshot_store(edited, None)
    again = start(edited, alice, "put it back")
    assert again.revision == revision
    assert again.message == "put it back"
    assert Revision.objects.count() == 1


def test_a_message_that_cannot_be_handed_over_is_a_failed_apply(
    edited: Host,
    alice: Actor,
    queue: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        apply = start(edited, alice)
        # Redis goes away between the check and the commit.
        queue.stop()
    apply.refresh_from_db()
    assert apply.state == "failed"
    assert apply.error is not None
    assert apply.error["summary"].startswith("The order could not be queued")
    assert AuditEvent.objects.filter(verb="apply-failed").exists()


def test_outcomes_are_written_once_and_only_forward(edited: Host, alice: Actor, queue: RedisServer) -> None:
    apply = start(edited, alice)
    assert outcome_record(outcome=outcome_of(apply, "loading", 0))
    assert outcome_record(outcome=outcome_of(apply, "loading", 1))
    assert not outcome_record(outcome=outcome_of(apply, "loading", 1))
    assert not outcome_record(outcome=outcome_of(apply, "loading", 0))
    assert outcome_record(outcome=outcome_of(apply, "confirmed", 3))
    assert not outcome_record(outcome=outcome_of(apply, "confirmed", 3))
    assert not outcome_record(outcome=outcome_of(apply, "loading", 4))
    assert not outcome_record(outcome=outcome_of(apply, "failed", 5))
    apply.refresh_from_db()
    assert (apply.state, apply.last_event) == ("confirmed", 3)
    assert apply.started_at is not None
    assert apply.finished_at is not None
    base = base_revision(Host.objects.get())
    assert base == apply.revision
    verbs = list(
        AuditEvent.objects.filter(verb__startswith="apply-").order_by("pk").values_list("verb", flat=True)
    )
    assert verbs == ["apply-start", "apply-loading", "apply-confirmed"]


def test_a_failure_keeps_its_words_and_the_base(edited: Host, alice: Actor, queue: RedisServer) -> None:
    apply = start(edited, alice)
    assert outcome_record(outcome=outcome_of(apply, "failed", 1000))
    view = apply_get(apply.pk)
    assert view is not None
    assert view.finished
    assert view.error is not None
    assert view.error.line == "-A FILTERS -j NOWHERE"
    assert [step.state for step in view.steps][:3] == ["done", "failed", "skipped"]
    assert base_revision(Host.objects.get()) is None
    assert [rule.ports for rule in pending_diff(edited).added] == [("22",)]
    event = AuditEvent.objects.get(verb="apply-failed")
    assert event.detail == "iptables-restore refused line 7."


def test_a_confirmation_of_something_else_is_a_failure(
    edited: Host, alice: Actor, queue: RedisServer
) -> None:
    apply = start(edited, alice)
    other: dict[str, object] = {"loaded": {"revision": 1, "digest": "f" * 64}}
    assert outcome_record(outcome=outcome_of(apply, "confirmed", 0, other))
    apply.refresh_from_db()
    assert apply.state == "failed"
    assert apply.error is not None
    assert "was ordered" in apply.error["summary"]
    assert base_revision(Host.objects.get()) is None
    rule_create(host=edited, actor=alice, values=WEB)
    second = start(edited, alice)
    same: dict[str, object] = {"loaded": {"revision": 2, "digest": second.revision.digest}}
    assert outcome_record(outcome=outcome_of(second, "confirmed", 0, same))
    assert base_revision(Host.objects.get()) == second.revision


def test_outcomes_of_other_hosts_are_dropped(edited: Host, alice: Actor, queue: RedisServer) -> None:
    apply = start(edited, alice)
    Host.objects.create(name="other")
    assert not outcome_record(outcome=outcome_of(apply, "confirmed", 0, {"host": "other"}))
    assert not outcome_record(outcome=outcome_of(apply, "confirmed", 0, {"host": "nowhere"}))
    unknown = "00000000-0000-4000-8000-000000000000"
    assert not outcome_record(outcome=outcome_of(apply, "confirmed", 0, {"apply": unknown}))
    apply.refresh_from_db()
    assert apply.state == "queued"


def test_an_order_that_was_lost_is_given_up(edited: Host, alice: Actor, queue: RedisServer) -> None:
    apply = start(edited, alice)
    assert applies_expire() == 0
    later = timezone.now() + timedelta(minutes=3)
    assert applies_expire(now=later) == 1
    apply.refresh_from_db()
    assert apply.state == "failed"
    assert apply.error is not None
    assert "no longer in the queue" in apply.error["summary"]
    assert applies_expire(now=later) == 0
    # The root worker had it after all: what it saw in the kernel counts.
    assert not outcome_record(outcome=outcome_of(apply, "loading", 0))
    assert outcome_record(outcome=outcome_of(apply, "confirmed", 5))
    assert base_revision(Host.objects.get()) == apply.revision


def test_an_order_that_no_root_worker_takes_is_withdrawn(
    edited: Host,
    alice: Actor,
    queue: RedisServer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        apply = start(edited, alice)
    # As long as some host may still let it in, it waits.
    assert applies_expire(now=timezone.now() + timedelta(seconds=EXPIRY_SECONDS + 10)) == 0
    assert applies_expire(now=timezone.now() + timedelta(minutes=3, seconds=1)) == 1
    assert orders(edited) == []
    assert client.order_place(host="local", job_id=apply.job_id) == "gone"
    apply.refresh_from_db()
    assert apply.error is not None
    assert "within 3 minutes" in apply.error["summary"]
    assert "Start the root worker" in apply.error["summary"]


def test_an_order_that_was_taken_may_take_its_time(
    edited: Host,
    alice: Actor,
    queue: RedisServer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        apply = start(edited, alice)
    key = f"rq:queue:{firewall_queue('local')}"
    assert queue.client().lmove(key, f"{key}:intermediate") == f"firewall-local_order-{apply.pk}".encode()
    assert client.order_place(host="local", job_id=apply.job_id) == "taken"
    assert applies_expire(now=timezone.now() + timedelta(minutes=14)) == 0
    assert applies_expire(now=timezone.now() + timedelta(minutes=16)) == 1
    apply.refresh_from_db()
    assert apply.error is not None
    assert "reported nothing for 15 minutes" in apply.error["summary"]


def test_while_redis_is_down_nothing_is_given_up(edited: Host, alice: Actor, queue: RedisServer) -> None:
    start(edited, alice)
    queue.stop()
    assert applies_expire(now=timezone.now() + timedelta(hours=1)) == 0


def test_an_apply_that_falls_silent_is_given_up(edited: Host, alice: Actor, queue: RedisServer) -> None:
    apply = start(edited, alice)
    outcome_record(outcome=outcome_of(apply, "loading", 0))
    assert applies_expire(now=timezone.now() + timedelta(minutes=14)) == 0
    assert applies_expire(now=timezone.now() + timedelta(minutes=16)) == 1
    apply.refresh_from_db()
    assert apply.state == "failed"


def test_the_page_shows_progress_before_it_is_written_down(
    edited: Host, alice: Actor, queue: RedisServer
) -> None:
    apply = start(edited, alice)
    quiet = apply_get(apply.pk)
    assert quiet is not None
    assert quiet.notice == ""
    Apply.objects.filter(pk=apply.pk).update(created_at=timezone.now() - timedelta(seconds=6))
    silent = apply_get(apply.pk)
    assert silent is not None
    assert "has not answered" in silent.notice
    progress_store(outcome_of(apply, "loading", 1))
    view = apply_get(apply.pk)
    assert view is not None
    assert view.state == "loading"
    assert [step.state for step in view.steps][:3] == ["done", "done", "waiting"]
    assert view.notice == ""
    progress_store(outcome_of(apply, "confirmed", 2))
    done = apply_get(apply.pk)
    assert done is not None
    assert not done.finished
    assert "being recorded" in done.notice
    client.connection().set(progress_key("local", str(apply.pk)), b"{junk")
    broken = apply_get(apply.pk)
    assert broken is not None
    assert "cannot be read" in broken.notice
    assert apply_get("no-uuid") is None


def test_a_roll_back_is_a_new_revision_and_the_draft_follows(
    edited: Host, alice: Actor, bob: Actor, queue: RedisServer
) -> None:
    first = confirm(edited, alice, "first")
    rule = edited.rules.get()
    rule_update(host=edited, actor=alice, key=rule.key, version=1, values={"ports": ["2222"]})
    confirm(edited, alice, "second")
    with pytest.raises(Conflict):
        rollback_start(basis=basis_of(edited), actor=bob, number=1, message="back", expected_head=1)
    with pytest.raises(NotFound):
        rollback_start(basis=basis_of(edited), actor=bob, number=9, message="back", expected_head=2)
    apply = rollback_start(basis=basis_of(edited), actor=bob, number=1, message="back", expected_head=2)
    revision = apply.revision
    assert (revision.number, revision.restores, revision.digest) == (3, 1, first.digest)
    assert revision.document == first.document
    assert revision.parent is not None
    assert revision.parent.number == 2
    assert edited.rules.get().ports == ["2222"]
    outcome_record(outcome=outcome_of(apply, "confirmed", 0))
    assert edited.rules.get().ports == ["22"]
    edited.refresh_from_db()
    assert pending_diff(edited).count == 0
    assert AuditEvent.objects.filter(verb="rollback-start", actor_name="bob").exists()


def test_a_roll_back_keeps_a_draft_with_pending_changes(
    edited: Host, alice: Actor, queue: RedisServer
) -> None:
    confirm(edited, alice, "first")
    rule_create(host=edited, actor=alice, values=WEB)
    confirm(edited, alice, "second")
    rule_create(host=edited, actor=alice, values={"scope": "both", "source": "192.0.2.7"})
    apply = rollback_start(basis=basis_of(edited), actor=alice, number=1, message="back", expected_head=2)
    outcome_record(outcome=outcome_of(apply, "confirmed", 0))
    assert edited.rules.count() == 3
    edited.refresh_from_db()
    assert pending_diff(edited).count == 2


def test_a_failed_roll_back_leaves_the_draft(edited: Host, alice: Actor, queue: RedisServer) -> None:
    confirm(edited, alice, "first")
    rule_create(host=edited, actor=alice, values=WEB)
    confirm(edited, alice, "second")
    apply = rollback_start(basis=basis_of(edited), actor=alice, number=1, message="back", expected_head=2)
    outcome_record(outcome=outcome_of(apply, "failed", 0))
    assert edited.rules.count() == 2
    edited.refresh_from_db()
    assert pending_diff(edited).count == 0


def test_a_roll_back_to_what_the_kernel_holds_is_refused(
    edited: Host, alice: Actor, queue: RedisServer
) -> None:
    revision = confirm(edited, alice)
    snapshot_store(edited, draft_document(edited), revision.number)
    with pytest.raises(NothingToApply):
        rollback_start(basis=basis_of(edited), actor=alice, number=1, message="m", expected_head=1)


@pytest.mark.parametrize(("stored", "ahead"), [(-86_400, 0), (0, 0), (20, 20), (600, 0), (10**9, 0)])
def test_the_sequence_number_stays_near_the_clock(host: Host, stored: int, ahead: int) -> None:
    now = time.time_ns() // 1_000_000
    host.sequence = now + stored * 1000
    number = sequence_next(host)
    assert number >= now
    assert (number - now) / 1000 == pytest.approx(ahead, abs=5)
