"""The reasons not to load a document over live rules."""

from __future__ import annotations

from dockerfw.chains import sentences
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.refusals import describe_refusals, find_refusals
from dockerfw.document.values import Document
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.sentences import table_not_printed
from tests.iptables.test_unprinted import NAT, WHOLE
from tests.rig.kernel_reports import CLEAN


def test_rules_that_cannot_be_read_are_not_loaded_over() -> None:
    plan = plan_changes(Document(), {4: parse_save(WHOLE + NAT), 6: parse_save(CLEAN)})
    (refusal,) = plan.refusals
    assert (refusal.code, refusal.family) == ("not-printed", 4)
    assert refusal.message == sentences.rules_not_printed(4, table_not_printed("filter", whole=True))
    assert not plan.empty
    assert describe_refusals(plan.refusals) == refusal.message


def test_a_clean_host_refuses_nothing() -> None:
    assert find_refusals(Document(), {4: parse_save(CLEAN), 6: parse_save("")}) == ()
