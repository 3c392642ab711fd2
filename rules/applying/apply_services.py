"""Start an apply: freeze the draft as a revision, store the attempt, send the order to the root worker.

All that takes time (asking Redis, simulating) is done before the transaction, on the request's basis. The
transaction holds the host's row, compares versions and writes. The order is sent after the commit.
outcome_services records the result.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.utils import timezone

from dockerfw.chains.refusals import find_refusals
from dockerfw.document.document import canonical_json, digest
from dockerfw.document.every_port import new_every_port_rules
from dockerfw.iptables.errors import FieldError
from dockerfw.messages.orders import LEAST_CONFIRM_SECONDS, Order
from dockerfw.messages.outcomes import MOST_CONFIRM_SECONDS
from dockerfw.messages.snapshot_values import limits_of
from dockerfw.reach.expectations import find_failures
from rules.applying.apply_errors import (
    ApplyWaiting,
    EveryPort,
    LoadRefused,
    NotExpected,
    NothingToApply,
    QueueUnavailable,
)
from rules.applying.apply_selectors import unfinished_apply
from rules.applying.expiry_services import apply_give_up
from rules.applying.plan_selectors import is_loaded
from rules.applying.proposal_selectors import Proposal, next_number, propose_draft, propose_rollback
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.basis_selectors import Basis
from rules.draft.draft_selectors import base_revision, document_diff
from rules.draft.draft_services import host_lock
from rules.link import client
from rules.link.sequence import sequence_next
from rules.models import Apply, Host, Revision
from rules.pages.errors import Conflict, Invalid, NotFound
from rules.pages.texts import check_texts
from rules.seen.consequence_selectors import expectation_findings
from rules.seen.memory import paused_collector

MESSAGE_MAX = 2000
WINDOW_DEFAULT = 60
DRAFT_CHANGED = "The draft changed since it was reviewed."
HEAD_CHANGED = "Another revision was confirmed since this was reviewed."
NUMBER_TAKEN = "Another revision was made since this was reviewed."


def apply_start(
    *,
    basis: Basis,
    actor: Actor,
    message: str,
    draft_version: int,
    window: int = WINDOW_DEFAULT,
    end_sessions: bool = False,
    override: str = "",
    anyway: bool = False,
    every_port: bool = False,
) -> Apply:
    """Apply the draft as it was reviewed at `draft_version`, with a confirmation window of `window` seconds.

    Makes a revision. Loads the base revision again when the draft equals it, and the kernel has drifted or
    this release would write rules of it differently.
    `end_sessions` asks the host to end the sessions that lose their allowance once the change is confirmed.
    `override` is the reason for applying although an expectation fails. `anyway` records that the actor knew
    of being locked out. `every_port` confirms new rules that open every port.

    Raises Invalid, Conflict, ApplyWaiting, NothingToApply, LoadRefused, NotExpected, EveryPort,
    QueueUnavailable.
    """
    terms = _terms("apply-start", message, window, override, anyway, end_sessions, every_port)
    _check_queue()
    if basis.draft_version != draft_version:
        raise Conflict(DRAFT_CHANGED, current=basis.host)
    _check_none_unfinished(basis.host)
    proposal = propose_draft(basis)
    if is_loaded(basis, proposal):
        raise NothingToApply(
            f"Nothing to apply: the kernel already holds the draft as revision {proposal.number}."
        )
    _check_refusals(basis, proposal)
    _check_every_port(basis, proposal, terms)
    _check_expectations(basis, proposal, terms)
    return _order(basis, actor, proposal, terms)


def rollback_start(
    *,
    basis: Basis,
    actor: Actor,
    number: int,
    message: str,
    expected_head: int,
    window: int = WINDOW_DEFAULT,
    end_sessions: bool = False,
    override: str = "",
    anyway: bool = False,
    every_port: bool = False,
) -> Apply:
    """Apply the content of revision `number` as a new revision.

    The base revision is loaded again as it is, whatever the draft contains. `expected_head` is the number of
    the base revision that the review showed, 0 for none. The draft follows once the apply is confirmed, if it
    had no pending changes. All other arguments are those of `apply_start`.

    Raises NotFound and what `apply_start` raises.
    """
    terms = _terms("rollback-start", message, window, override, anyway, end_sessions, every_port)
    _check_queue()
    proposal = propose_rollback(basis, number)
    if proposal is None:
        raise NotFound(f"There is no revision {number}.")
    if basis.head != expected_head:
        raise Conflict(HEAD_CHANGED, current=basis.base)
    _check_none_unfinished(basis.host)
    if is_loaded(basis, proposal):
        raise NothingToApply(f"Nothing to apply: the kernel already holds the content of revision {number}.")
    _check_refusals(basis, proposal)
    _check_every_port(basis, proposal, terms)
    _check_expectations(basis, proposal, terms)
    return _order(basis, actor, proposal, terms)


def check_window(seconds: int) -> None:
    """Raise Invalid unless a confirmation window may be `seconds` long."""
    if not LEAST_CONFIRM_SECONDS <= seconds <= MOST_CONFIRM_SECONDS:
        problem = f"{seconds} seconds is not allowed. Use {LEAST_CONFIRM_SECONDS} to {MOST_CONFIRM_SECONDS}"
        raise Invalid((FieldError("window", problem),))


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of an apply, as the actor gave them; `verb` is that of the audit log."""

    verb: str
    message: str
    window: int
    override: str
    anyway: bool
    end_sessions: bool
    every_port: bool


def _terms(
    verb: str,
    message: str,
    window: int,
    override: str,
    anyway: bool,
    end_sessions: bool,
    every_port: bool,
) -> _Terms:
    """Check the terms of an apply. Raises Invalid."""
    text = message.strip()
    if not text:
        raise Invalid((FieldError("message", "enter the reason for this change"),))
    reason = override.strip()
    for field, given in (("message", text), ("override", reason)):
        if len(given) > MESSAGE_MAX:
            raise Invalid((FieldError(field, f"{len(given)} characters, at most {MESSAGE_MAX} are allowed"),))
    check_texts({"message": text, "override": reason})
    check_window(window)
    return _Terms(verb, text, window, reason, anyway, end_sessions, every_port)


def _check_queue() -> None:
    # Asked before anything is written, so that a Redis that is down costs no revision number.
    try:
        client.check_sending()
    except client.QueueError as error:
        raise QueueUnavailable(f"Nothing was applied: {error}") from error


def _check_none_unfinished(host: Host) -> None:
    unfinished = unfinished_apply(host)
    if unfinished is not None:
        raise ApplyWaiting(unfinished)


def _check_refusals(basis: Basis, proposal: Proposal) -> None:
    """Raise LoadRefused when the host's rules, as far as they are known, do not allow the load."""
    view = basis.view
    refusals = (
        find_refusals(proposal.document, view.rulesets, limits_of(view.snapshot)) if view is not None else ()
    )
    if refusals:
        raise LoadRefused(refusals)


def _check_every_port(basis: Basis, proposal: Proposal, terms: _Terms) -> None:
    """Raise EveryPort when a new rule opens every port and that was not confirmed."""
    found = () if terms.every_port else new_every_port_rules(basis.base_document, proposal.document)
    if found:
        raise EveryPort(found)


def _check_expectations(basis: Basis, proposal: Proposal, terms: _Terms) -> None:
    """Raise NotExpected when an expectation would fail and no reason was given; unknown stops nothing."""
    if terms.override or basis.view is None:
        return
    broken = find_failures(expectation_findings(basis.view, proposal.document, proposal.number))
    if broken:
        raise NotExpected(broken)


def _order(basis: Basis, actor: Actor, proposal: Proposal, terms: _Terms) -> Apply:
    """Store the apply and have its order sent after the commit. Raises Conflict, ApplyWaiting."""
    # Before the transaction, which holds SQLite's only write lock: thousands of rules take a while to write.
    revision = proposal.revision or _revision_make(basis, actor, proposal, terms)
    document = json.loads(revision.document)
    with paused_collector(), transaction.atomic():
        host = host_lock(basis.host)
        _check_unchanged(host, basis, proposal)
        if proposal.revision is None:
            revision.save(force_insert=True)
        apply = _apply_create(host, actor, revision, terms)
        order = Order(
            apply=str(apply.pk),
            sequence=apply.sequence,
            host=host.name,
            revision=revision.number,
            document=document,
            digest=revision.digest,
            confirm_seconds=terms.window,
            end_sessions=terms.end_sessions,
            issued_at=timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            override=bool(terms.override),
        )
        transaction.on_commit(partial(_send, order, apply))
    return apply


def _check_unchanged(host: Host, basis: Basis, proposal: Proposal) -> None:
    """Raise Conflict or ApplyWaiting where the locked host is not the one that the basis was read from."""
    if proposal.restores is None and host.draft_version != basis.draft_version:
        raise Conflict(DRAFT_CHANGED, current=host)
    if host.confirmed_revision_id != (basis.base.pk if basis.base else None):
        raise Conflict(HEAD_CHANGED, current=base_revision(host))
    _check_none_unfinished(host)
    if proposal.revision is None and next_number(host) != proposal.number:
        raise Conflict(NUMBER_TAKEN, current=base_revision(host))


def _revision_make(basis: Basis, actor: Actor, proposal: Proposal, terms: _Terms) -> Revision:
    """Return a new revision that is not stored yet."""
    return Revision(
        host=basis.host,
        number=proposal.number,
        document=canonical_json(proposal.document),
        digest=digest(proposal.document),
        author_name=actor.name,
        parent=basis.base,
        restores=proposal.restores,
        message=terms.message,
        change=document_diff(basis.base_document, proposal.document).sentence,
    )


def _apply_create(host: Host, actor: Actor, revision: Revision, terms: _Terms) -> Apply:
    identifier = uuid.uuid4()
    apply = Apply.objects.create(
        id=identifier,
        host=host,
        revision=revision,
        requested_by=actor.name,
        message=terms.message,
        override=terms.override,
        sequence=sequence_next(host),
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
            **({"every_port": True} if terms.every_port else {}),
        },
    )
    return apply


def _send(order: Order, apply: Apply) -> None:
    try:
        client.order_send(order=order, job_id=apply.job_id)
    except client.QueueError as error:
        apply_give_up(apply=apply, summary=f"The order could not be queued: {error}")
        apply.refresh_from_db()
