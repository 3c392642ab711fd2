"""Rules that a save does not show make a verdict unknown, and only where a packet meets them."""

from __future__ import annotations

import pytest

from dockerfw.iptables.sentences import LEGACY_NOT_PRINTED, table_not_printed
from dockerfw.simulation.services import Service, simulate_service
from tests.iptables.test_unprinted import CHAINS, LEGACY, NAT, WHOLE
from tests.simulation.hosts import TCP, packet, prepared, trace

DROPS = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
FILTER = table_not_printed("filter", whole=True)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (WHOLE + NAT, FILTER),
        (NAT + LEGACY, LEGACY_NOT_PRINTED),
        (CHAINS + NAT + DROPS, table_not_printed("nat", whole=False)),
        (DROPS.replace("DROP", "ACCEPT") + WHOLE, FILTER),
    ],
    ids=["table", "legacy", "base chains", "beside what was printed"],
)
def test_the_verdict_is_unknown_with_the_reason(rules: str, reason: str) -> None:
    verdict = trace(rules).verdict
    assert (verdict.kind, verdict.reason) == ("UNKNOWN", reason)
    service = Service(4, TCP, packet().destination, 22, "eth0")
    reach = simulate_service(prepared(rules), service)
    assert reach.unknown.is_everything
    assert not reach.passes
    assert not reach.refused


def test_what_an_earlier_table_refuses_stays_refused() -> None:
    raw = "*raw\n:PREROUTING DROP [0:0]\nCOMMIT\n"
    assert trace(raw + WHOLE).verdict.kind == "DROP"


def test_the_steps_name_the_table() -> None:
    step = trace(WHOLE + NAT).steps[-1]
    assert (step.table, step.chain, step.outcome, step.why) == ("filter", "INPUT", "unknown", FILTER)
