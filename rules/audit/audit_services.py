"""Write audit events. Nothing changes or removes one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rules.audit.actors import Actor
from rules.models import AuditEvent, Host

# Every verb of the audit log with the words for pages.
VERBS: dict[str, str] = {
    "sign-in": "signed in",
    "account-create": "created an account on the command line",
    "sign-in-failed": "failed to sign in",
    "sign-out": "signed out",
    "password-change": "changed the password",
    "setup-link-create": "created a setup link",
    "setup-link-use": "used the setup link",
    "rule-create": "added a rule",
    "rule-update": "changed a rule",
    "rule-enable": "enabled a rule",
    "rule-disable": "disabled a rule",
    "rule-delete": "removed a rule",
    "rule-restore": "undid a change of a rule",
    "rule-undelete": "added a removed rule again",
    "group-create": "added a group",
    "group-update": "changed a group",
    "group-delete": "removed a group",
    "group-restore": "undid a change of a group",
    "expectation-create": "added an expectation",
    "expectation-update": "changed an expectation",
    "expectation-delete": "removed an expectation",
    "settings-update": "changed the settings",
    "draft-replace": "replaced the draft",
    "draft-discard": "discarded the pending changes",
    "draft-restore": "restored the draft from before a discard or an import",
    "apply-start": "started an apply",
    "apply-loading": "apply: loading",
    "apply-awaiting": "apply: awaiting confirmation",
    "apply-confirmed": "apply: confirmed",
    "apply-rolled_back": "apply: rolled back",
    "apply-failed": "apply: failed",
    "apply-unknown": "reported an apply that this dashboard has no record of",
    "apply-keep": "requested Keep",
    "apply-roll-back": "requested Roll back now",
    "apply-extend": "requested a longer confirmation window",
    "rollback-start": "started a roll back",
    "backup-restore": "restored the installation from a backup",
    "console-panic": "ran panic on the console",
    "console-panic-off": "ended panic on the console",
    "console-release": "released the host from dockerfw on the console",
    "console-reset-sequence": "reset the sequence number of orders on the console",
    "drift": "noticed that the kernel differs from the confirmed revision",
    "drift-gone": "noticed that the kernel holds the confirmed revision again",
    "heal": "restored the jumps",
    "heal-failed": "could not restore the jumps",
    "heal-rests": "stopped restoring the jumps",
    "sets-refilled": "filled an ipset again that another program had changed",
    "expired": "ended connections of expired rules",
    "list-version": "fetched a new version of a list, which is now in use",
    "list-held": "fetched a new version of a list, which waits to be accepted",
    "list-refused": "fetched a version of a list and refused it",
    "list-accept": "accepted a version of a list",
    "list-failing": "could not fetch a list",
    "list-not-loaded": "held a list back from the host",
    "list-refresh": "requested a list to be fetched",
    "lists-loaded": "loaded what lists stand for",
    "lists-failed": "could not load what lists stand for",
    "left-out": "dropped events that were not recorded in time",
}


def audit_record(
    *,
    actor: Actor,
    verb: str,
    host: Host | None = None,
    target: str = "",
    before: Any = None,
    after: Any = None,
    detail: str = "",
) -> AuditEvent:
    """Append one event; KeyError when the verb is not one of VERBS."""
    event = _event(actor, verb, host, target, before, after, detail)
    event.save(force_insert=True)
    return event


def audit_record_each(
    *, actor: Actor, verb: str, host: Host, changes: Iterable[tuple[str, Any, Any]]
) -> None:
    """Append an event for each change: its target, and the values before and after it, in this order."""
    AuditEvent.objects.bulk_create((_event(actor, verb, host, *change) for change in changes), batch_size=500)


def _event(
    actor: Actor, verb: str, host: Host | None, target: str, before: Any, after: Any, detail: str = ""
) -> AuditEvent:
    if verb not in VERBS:
        raise KeyError(verb)
    return AuditEvent(
        actor_name=actor.name[:150],
        address=actor.address[:64],
        host=host,
        verb=verb,
        target=target[:200],
        before=before,
        after=after,
        detail=detail,
    )
