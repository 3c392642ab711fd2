"""The reasons not to load a document over live rules."""

from __future__ import annotations

import pytest

from dockerfw.chains import sentences
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.refusals import describe_refusals, find_refusals
from dockerfw.document.values import Document, DocumentRule, Settings
from dockerfw.iptables.model import Ruleset
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


def by_hand(*lines: str, policy: str = "ACCEPT") -> Ruleset:
    """Return a filter table with FILTERS and DOCKER-USER, and these rules."""
    head = (f":INPUT {policy} [0:0]", ":FORWARD ACCEPT [0:0]", ":FILTERS - [0:0]", ":DOCKER-USER - [0:0]")
    return parse_save("\n".join(["*filter", *head, *lines, "COMMIT", ""]))


def codes(live: Ruleset, *external: str) -> list[str]:
    """Return the codes of the refusals of a document with these external interfaces, which allows SSH."""
    rules = (DocumentRule("sshd", "host", protocol="tcp", ports=("22",)),)
    document = Document(Settings(external_interfaces=external), rules)
    return [refusal.code for refusal in find_refusals(document, {4: live})]


OLD = ("-A FILTERS -p tcp -m tcp --dport 22 -j ACCEPT", "-A FILTERS -j DROP")


@pytest.mark.parametrize(
    ("lines", "external", "expected"),
    [
        # A jump from DOCKER-USER: it stays until dockerfw filters in its place.
        (["-A DOCKER-USER -j FILTERS"], (), ["containers-unfiltered"]),
        (["-A DOCKER-USER -j FILTERS"], ("eth0",), []),
        (["-A DOCKER-USER -i eth0 -j FILTERS"], ("eth1",), ["containers-unfiltered"]),
        (["-A DOCKER-USER -i eth0 -j FILTERS"], ("eth+",), []),
        (['-A DOCKER-USER -i eth0 -m comment --comment "by hand" -j FILTERS'], ("eth0",), []),
        (["-A DOCKER-USER ! -i docker0 -j FILTERS"], ("eth0",), ["foreign-jump"]),
        # A jump from INPUT.
        (["-A INPUT -j FILTERS"], ("eth0",), []),
        (["-A INPUT -i eth0 -j FILTERS"], ("eth0",), []),
        (['-A INPUT -m comment --comment "by hand" -j FILTERS'], ("eth0",), []),
        (["-A INPUT -p tcp -j FILTERS"], ("eth0",), ["foreign-jump"]),
        (["-A INPUT -g FILTERS"], ("eth0",), ["foreign-jump"]),
        (["-A FORWARD -j FILTERS"], ("eth0",), ["foreign-jump"]),
    ],
)
def test_a_jump_by_hand_is_adopted_completely_or_refused(
    lines: list[str], external: tuple[str, ...], expected: list[str]
) -> None:
    assert codes(by_hand(*lines, *OLD), *external) == expected


@pytest.mark.parametrize(
    ("lines", "policy", "expected"),
    [
        (["-A INPUT -i lo -j ACCEPT", "-A INPUT -j FILTERS"], "DROP", ["nothing-accepts"]),
        (["-A INPUT -j FILTERS"], "DROP", ["nothing-accepts"]),
        (["-A INPUT -j FILTERS", "-A INPUT -j ACCEPT"], "DROP", []),
        # The same without a policy: a last rule that refuses.
        (["-A INPUT -j FILTERS", "-A INPUT -j REJECT"], "ACCEPT", ["nothing-accepts"]),
        (["-A INPUT -i lo -j ACCEPT", "-A INPUT -j FILTERS"], "ACCEPT", []),
        # What dockerfw itself refuses is the admin's wish.
        (["-A INPUT -j FILTERS", "-A INPUT -p tcp -m tcp --dport 25 -j DROP"], "ACCEPT", []),
        # Without anything by hand, the load takes nothing away.
        (["-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"], "DROP", []),
    ],
)
def test_what_dockerfw_allows_still_needs_an_accept(
    lines: list[str], policy: str, expected: list[str]
) -> None:
    assert codes(by_hand(*lines, *OLD, policy=policy), "eth0") == expected


def test_sets_that_are_not_there_yet_hide_no_lock_out() -> None:
    kept = ("-A INPUT -i lo -j ACCEPT", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")
    live = by_hand(*kept, "-A INPUT -j FILTERS", *OLD, policy="DROP")
    allowing = Settings(external_interfaces=("eth0",), containers_reach_host="allow")
    rules = (DocumentRule("sshd", "host", protocol="tcp", ports=("22",)),)
    for settings in (allowing, Settings(external_interfaces=("eth0",))):
        found = find_refusals(Document(settings, rules), {4: live})
        assert [refusal.code for refusal in found] == ["nothing-accepts"]
