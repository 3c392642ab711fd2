"""Answer an open confirmation window: keep the loaded rules, roll them back at once, or extend the window.

Keep needs a proof that new connections still reach the host: a key that is fetched and sent back over
connections opened after the load. An established connection survives a lock-out and proves nothing. The host
decides; it ignores an answer that comes too late.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from functools import partial

from django.db import transaction
from django.utils import timezone

from dockerfw.iptables.errors import FieldError
from dockerfw.messages.orders import Answer, AnswerKind
from dockerfw.messages.outcomes import MOST_CONFIRM_SECONDS
from rules.applying.apply_errors import KeyRefused, NotAwaiting, NotYours, OldConnection, QueueUnavailable
from rules.applying.apply_selectors import apply_view
from rules.applying.window_selectors import WindowView
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.draft_services import host_lock
from rules.link import client
from rules.link.sequence import sequence_next
from rules.models import Apply
from rules.pages.errors import Invalid
from rules.seen.progress_selectors import Progress, progress_of

OLD_CONNECTION = "This request used a connection from before the load, which proves nothing. Try again."
WRONG_KEY = "This apply was opened again in another tab, or Keep was sent twice. Click Keep again."
VERBS = {"keep": "apply-keep", "rollback": "apply-roll-back", "extend": "apply-extend"}


def apply_nonce_create(*, apply: Apply, actor: Actor, connected_at: datetime | None) -> str:
    """Return a new key with which `actor` may keep the apply once; it replaces any earlier key.

    `connected_at` is when the asking connection was opened, None when that is unknown. Raises NotAwaiting,
    NotYours, KeyRefused.
    """
    progress = progress_of(apply)
    with transaction.atomic():
        current, _ = _open_window(apply, progress)
        _check_starter(current, actor)
        _check_connection(current.window_seen_at or current.created_at, connected_at)
        # If the clerk has not recorded the window yet, Keep needs a connection opened from now on.
        current.window_seen_at = current.window_seen_at or timezone.now()
        nonce = secrets.token_urlsafe(24)
        current.nonce_digest = _digest(nonce)
        current.save(update_fields=["nonce_digest", "window_seen_at"])
    return nonce


def apply_keep(*, apply: Apply, actor: Actor, nonce: str, connected_at: datetime | None) -> Apply:
    """Ask the host to keep the loaded rules, over a new connection and with a key fetched after the load.

    Raises NotAwaiting, NotYours, KeyRefused, QueueUnavailable.
    """
    progress = _read_progress(apply)
    with transaction.atomic():
        current, _ = _open_window(apply, progress)
        _check_starter(current, actor)
        _check_connection(current.window_seen_at, connected_at)
        if not current.nonce_digest or not hmac.compare_digest(current.nonce_digest, _digest(nonce)):
            raise KeyRefused(WRONG_KEY)
        current.nonce_digest = ""
        return _record_answer(current, actor, "keep")


def apply_keep_at_console(*, apply: Apply, actor: Actor, instead_of: str = "") -> Apply:
    """Ask the host to keep the loaded rules, from its own command line, which no rule can lock out.

    An admin there may also keep an apply of another admin, named in `instead_of`; the audit log names both.
    Raises NotAwaiting, NotYours, QueueUnavailable.
    """
    progress = _read_progress(apply)
    with transaction.atomic():
        current, _ = _open_window(apply, progress)
        if not instead_of:
            _check_starter(current, actor)
            return _record_answer(current, actor, "keep")
        if current.requested_by != instead_of:
            raise NotYours(f"This apply was started by {current.requested_by}, not by {instead_of}.")
        return _record_answer(current, actor, "keep", detail=f"instead of {instead_of}, who started it")


def apply_roll_back(*, apply: Apply, actor: Actor) -> Apply:
    """Ask the host to restore the previous rules at once; every admin may.

    Raises NotAwaiting, QueueUnavailable.
    """
    progress = _read_progress(apply)
    with transaction.atomic():
        current, _ = _open_window(apply, progress)
        return _record_answer(current, actor, "rollback")


def apply_extend(*, apply: Apply, actor: Actor, seconds: int) -> Apply:
    """Ask the host to extend the window to `seconds`, counted from the load.

    Raises Invalid, NotAwaiting, NotYours, QueueUnavailable.
    """
    progress = _read_progress(apply)
    with transaction.atomic():
        current, window = _open_window(apply, progress)
        _check_starter(current, actor)
        allowed = f"{window.seconds + 1} to {MOST_CONFIRM_SECONDS}"
        if not window.seconds < seconds <= MOST_CONFIRM_SECONDS:
            problem = f"{seconds} seconds is not longer than the open window (allowed: {allowed})"
            raise Invalid((FieldError("seconds", problem),))
        return _record_answer(current, actor, "extend", seconds)


def _read_progress(apply: Apply) -> Progress:
    """Read the root worker's progress before the transaction. Raises QueueUnavailable when Redis is down."""
    try:
        client.check_sending()
    except client.QueueError as error:
        raise QueueUnavailable(_not_sent(error)) from error
    return progress_of(apply)


def _open_window(apply: Apply, progress: Progress) -> tuple[Apply, WindowView]:
    """Lock the host and return the apply with its open window. Raises NotAwaiting."""
    host_lock(apply.host)
    current = Apply.objects.select_related("host", "revision").get(pk=apply.pk)
    # The clerk may be late or down, so the root worker's last report counts as well.
    view = apply_view(current, progress)
    if view.window is None:
        number = current.revision.number
        raise NotAwaiting(f"The window of revision {number} is not open: the apply is {view.state_label}.")
    if view.window.over:
        raise NotAwaiting(f"The window of revision {current.revision.number} ended at {view.window.until}.")
    return current, view.window


def _check_starter(apply: Apply, actor: Actor) -> None:
    if apply.requested_by != actor.name:
        raise NotYours(
            f"Only {apply.requested_by}, who started this apply, can do this. Every admin can roll it back."
        )


def _check_connection(seen_at: datetime | None, connected_at: datetime | None) -> None:
    """Refuse a connection that was opened before the dashboard knew that the rules are loaded.

    That moment is later than the load, and taken by the same clock as `connected_at`. The host's clock may be
    behind, so that old connections would look new to it.
    """
    if connected_at is not None and (seen_at is None or connected_at < seen_at):
        raise OldConnection(OLD_CONNECTION)


def _not_sent(error: Exception) -> str:
    return (
        f"The answer was not sent: {error}. The host rolls back on its own unless an answer arrives in time."
    )


def _record_answer(
    apply: Apply, actor: Actor, kind: AnswerKind, seconds: int | None = None, *, detail: str = ""
) -> Apply:
    host = host_lock(apply.host)
    apply.answer, apply.answered_by, apply.answered_at = kind, actor.name, timezone.now()
    apply.save(update_fields=["nonce_digest", "answer", "answered_by", "answered_at"])
    audit_record(
        actor=actor,
        verb=VERBS[kind],
        host=host,
        target=f"revision {apply.revision.number}",
        after={"apply": str(apply.pk), **({"seconds": seconds} if seconds else {})},
        detail=detail,
    )
    answer = Answer(
        apply=str(apply.pk),
        sequence=sequence_next(host),
        host=host.name,
        answer=kind,
        seconds=seconds,
        issued_at=timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    )
    transaction.on_commit(partial(_send, answer, apply))
    return apply


def _send(answer: Answer, apply: Apply) -> None:
    try:
        client.answer_send(answer)
    except client.QueueError as error:
        Apply.objects.filter(pk=apply.pk).update(answer="", answered_by="", answered_at=None)
        raise QueueUnavailable(_not_sent(error)) from error


def _digest(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()
