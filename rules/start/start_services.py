"""Write the answers of the guide as rules of the draft."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import transaction

from dockerfw.document.document import DocumentRule
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.draft_services import host_lock, rule_validated
from rules.draft.rule_services import rule_create
from rules.models import Host


def rules_add(*, host: Host, actor: Actor, rules: Iterable[Mapping[str, object]]) -> int:
    """Add the rules that the draft does not have yet, all or none; return how many. Raises Invalid.

    A form that is sent twice adds nothing the second time.
    """
    with transaction.atomic():
        host = host_lock(host)
        present = {_effect(rule) for rule in draft_document(host).rules}
        added = 0
        for values in rules:
            effect = _effect(rule_validated({**values, "id": "new123"}, host))
            if effect not in present:
                rule_create(host=host, actor=actor, values=values)
                present.add(effect)
                added += 1
        return added


def _effect(rule: DocumentRule) -> tuple[object, ...]:
    """Return what a rule does, without its name."""
    return (
        rule.action,
        rule.scope,
        frozenset(rule.sources),
        rule.protocol,
        frozenset(rule.ports),
        rule.port_kind,
        rule.container,
        rule.to,
        rule.interface,
        rule.limit,
        rule.starts,
        rule.expires,
        rule.enabled,
    )
