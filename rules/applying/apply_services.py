"""Start applies: freeze the draft as a revision, store the attempt, hand the order to the root worker.

Owns when an apply may start and what number it carries. It never waits for the kernel; outcomes.py writes
down what became of the attempt.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.utils import timezone

from dockerfw.document.document import Document, canonical_json, digest, to_json_object
from dockerfw.iptables.errors import FieldError
from dockerfw.messages.orders import LEAST_CONFIRM_SECONDS, Order
from dockerfw.messages.outcomes import MOST_CONFIRM_SECONDS
from dockerfw.reach.expectations import find_failures
from rules.applying.apply_errors import ApplyWaiting, NotExpected, NothingToApply, QueueUnavailable
from rules.applying.expiry_services import apply_give_up
from rules.applying.kernel_selectors import kernel_sentence
from rules.applying.review_selectors import next_number
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.draft_selectors import base_revision, draft_document, revision_document
from rules.draft.draft_services import host_lock
from rules.link import client
from rules.models import Apply, Host, Revision
from rules.pages.errors import Conflict, Invalid, NotFound
from rules.seen.consequence_selectors import expectation_findings
from rules.seen.snapshot_selectors import latest_snapshot

MESSAGE_MAX = 2000
WINDOW_DEFAULT = 60


def apply_start(
    *,
    host: Host,
    actor: Actor,
    message: str,
    draft_version: int,
    window: int = WINDOW_DEFAULT,
    end_sessions: bool = False,
    override: str = "",
    anyway: bool = False,
) -> Apply:
    """Apply the draft as it was reviewed at `draft_version`, to be kept within `window` seconds.

    `end_sessions` asks the host to end, once it is kept, the sessions that it takes the allowance from.
    Makes a revision; when the draft equals what was applied last and the kernel has drifted, loads that
    revision again. `override` is the reason to do so although an expectation fails, `anyway` says that the
    actor would be shut out and knows it. Raises Invalid, Conflict, ApplyWaiting, NothingToApply, NotExpected,
    QueueUnavailable.
    """
    text = _message(message)
    reason = _override(override)
    check_window(window)
    _queue_answers()
    with transaction.atomic():
        current = host_lock(host)
        if current.draft_version != draft_version:
            raise Conflict("The draft changed since it was reviewed.", current=current)
        _nobody_waits(current)
        document = draft_document(current)
        base = base_revision(current)
        if base is not None and base.digest == digest(document):
            if kernel_sentence(current).level == "ok":
                raise NothingToApply(f"The kernel already holds the draft: it is revision {base.number}.")
            _expected(current, document, base.number, reason)
            revision = base
        else:
            _expected(current, document, next_number(current), reason)
            revision = _revision(current, actor, document, text, parent=base, restores=None)
        terms = _Terms("apply-start", text, window, reason, anyway, end_sessions)
        return _order(current, actor, revision, document, terms)


def rollback_start(
    *,
    host: Host,
    actor: Actor,
    number: int,
    message: str,
    expected_head: int,
    window: int = WINDOW_DEFAULT,
    end_sessions: bool = False,
    override: str = "",
    anyway: bool = False,
) -> Apply:
    """Apply revision `number`'s content as a new revision, to be kept within `window` seconds.

    The revision confirmed last is loaded again as it is, whatever the draft says by now. `expected_head` is
    the number of the revision confirmed last, as the review showed it, 0 for none. The draft follows once
    the apply is confirmed, if it had no pending changes. `override` and `anyway` are those of
    `apply_start`. Raises Invalid, NotFound, Conflict, ApplyWaiting, NothingToApply, NotExpected,
    QueueUnavailable.
    """
    text = _message(message)
    reason = _override(override)
    check_window(window)
    _queue_answers()
    with transaction.atomic():
        current = host_lock(host)
        target = Revision.objects.filter(host=current, number=number).first()
        if target is None:
            raise NotFound(f"There is no revision {number}.")
        base = base_revision(current)
        if (base.number if base else 0) != expected_head:
            raise Conflict("Another revision was applied since this roll back was reviewed.", current=base)
        _nobody_waits(current)
        document = revision_document(target)
        if base is not None and base.digest == target.digest and kernel_sentence(current).level == "ok":
            raise NothingToApply(f"The kernel already holds the content of revision {number}.")
        if base is not None and base.pk == target.pk:
            _expected(current, document, base.number, reason)
            revision = base
        else:
            _expected(current, document, next_number(current), reason)
            revision = _revision(current, actor, document, text, parent=base, restores=number)
        terms = _Terms("rollback-start", text, window, reason, anyway, end_sessions)
        return _order(current, actor, revision, document, terms)


@dataclass(frozen=True, slots=True)
class _Terms:
    """How an apply is wanted: its verb in the audit, why, for how long it waits, what was known to speak
    against it, and what keeping it does besides.
    """

    verb: str
    message: str
    window: int
    override: str
    anyway: bool
    end_sessions: bool


def _expected(host: Host, document: Document, number: int, override: str) -> None:
    """Refuse what would break expectations, unless there is a reason. What cannot be told is no hindrance."""
    view = latest_snapshot(host)
    if override or view is None:
        return
    broken = find_failures(expectation_findings(view, document, number))
    if broken:
        raise NotExpected(broken)


def _override(reason: str) -> str:
    text = reason.strip()
    if len(text) > MESSAGE_MAX:
        raise Invalid((FieldError("override", f"{len(text)} characters, at most {MESSAGE_MAX} are kept"),))
    return text


def _message(message: str) -> str:
    text = message.strip()
    if not text:
        raise Invalid((FieldError("message", "say why, for those who read the history"),))
    if len(text) > MESSAGE_MAX:
        raise Invalid((FieldError("message", f"{len(text)} characters, at most {MESSAGE_MAX} are kept"),))
    return text


def _queue_answers() -> None:
    # Asked before anything is written, so that a Redis that is down costs no revision number.
    try:
        client.ping()
    except client.QueueError as error:
        raise QueueUnavailable(f"Nothing was applied: {error}") from error


def _nobody_waits(host: Host) -> None:
    waiting = Apply.objects.filter(host=host, state__in=Apply.UNFINISHED).select_related("revision").first()
    if waiting is not None:
        raise ApplyWaiting(waiting)


def _revision(
    host: Host,
    actor: Actor,
    document: Document,
    message: str,
    *,
    parent: Revision | None,
    restores: int | None,
) -> Revision:
    newest = Revision.objects.filter(host=host).order_by("-number").first()
    return Revision.objects.create(
        host=host,
        number=newest.number + 1 if newest else 1,
        document=canonical_json(document),
        digest=digest(document),
        author_name=actor.name,
        parent=parent,
        restores=restores,
        message=message,
    )


def sequence_next(host: Host) -> int:
    """Count on and return the number of the next message to the host's root worker; `host` is locked."""
    # Milliseconds keep the number rising even when the database is put back from an old copy.
    host.sequence = max(host.sequence + 1, time.time_ns() // 1_000_000)
    host.save(update_fields=["sequence"])
    return host.sequence


def check_window(seconds: int) -> None:
    """Raise Invalid unless a window may be so many seconds long."""
    if not LEAST_CONFIRM_SECONDS <= seconds <= MOST_CONFIRM_SECONDS:
        problem = f"{seconds} seconds is not a window ({LEAST_CONFIRM_SECONDS} to {MOST_CONFIRM_SECONDS})"
        raise Invalid((FieldError("window", problem),))


def _order(host: Host, actor: Actor, revision: Revision, document: Document, terms: _Terms) -> Apply:
    sequence_next(host)
    identifier = uuid.uuid4()
    apply = Apply.objects.create(
        id=identifier,
        host=host,
        revision=revision,
        requested_by=actor.name,
        message=terms.message,
        override=terms.override,
        sequence=host.sequence,
        job_id=str(identifier),
        window_seconds=terms.window,
        end_sessions=terms.end_sessions,
    )
    audit_record(
        actor=actor,
        verb=terms.verb,
        host=host,
        target=f"revision {revision.number}",
        detail=terms.message,
        after={
            "apply": str(identifier),
            "revision": revision.number,
            "digest": revision.digest,
            "restores": revision.restores,
            "window": terms.window,
            "end_sessions": terms.end_sessions,
            **({"override": terms.override} if terms.override else {}),
            **({"anyway": True} if terms.anyway else {}),
        },
    )
    order = Order(
        apply=str(identifier),
        sequence=host.sequence,
        host=host.name,
        revision=revision.number,
        document=to_json_object(document),
        digest=revision.digest,
        confirm_seconds=terms.window,
        end_sessions=terms.end_sessions,
        issued_at=timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        override=bool(terms.override),
    )
    transaction.on_commit(partial(_send, order, apply))
    return apply


def _send(order: Order, apply: Apply) -> None:
    try:
        client.order_send(order=order, job_id=apply.job_id)
    except client.QueueError as error:
        apply_give_up(apply=apply, summary=f"The order could not be handed to the queue: {error}")
        apply.refresh_from_db()
