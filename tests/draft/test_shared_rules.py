"""The rules of the base and those of the draft that are like them are held once."""

from __future__ import annotations

import pytest

from rules.audit.actors import Actor
from rules.draft.draft_selectors import base_document, draft_document
from rules.draft.rule_selectors import drafted_rules
from rules.draft.rule_services import rule_create, rule_update
from rules.models import Host
from tests.rig.confirmed import confirm

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_a_changed_rule_is_another_object(host: Host, alice: Actor) -> None:
    for port in ("22", "80", "443"):
        rule_create(
            host=host,
            actor=alice,
            values={"scope": "host", "protocol": "tcp", "ports": [port], "comment": port},
        )
    confirm(host, alice)
    host.refresh_from_db()
    changed = next(rule for rule in draft_document(host).rules if rule.ports == ("80",))
    rule_update(host=host, actor=alice, key=changed.id, version=1, values={"enabled": False})
    host.refresh_from_db()
    base = base_document(host)
    assert base is not None
    known = {rule.id: rule for rule in base.rules}
    draft = {rule.id: rule for rule in draft_document(host).rules}
    assert [key for key, rule in draft.items() if rule is not known[key]] == [changed.id]
    assert not draft[changed.id].enabled
    assert known[changed.id].enabled
    marked = [(each.mark, each.rule is each.base) for each in drafted_rules(host)]
    assert sorted(marked) == [("", True), ("", True), ("changed", False)]
