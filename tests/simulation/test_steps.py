"""The steps of a trace are the rules that the packet reached, as the kernel's counters show."""

from __future__ import annotations

import pytest

from tests.simulation.hosts import filtered, trace


@pytest.mark.parametrize(
    ("rules", "steps"),
    [
        (["-A INPUT", "-A INPUT -p udp"], [(1, "matched"), (2, "not matched"), (0, "policy")]),
        (["-A INPUT -p tcp -j RETURN", "-A INPUT", "-A INPUT -j DROP"], [(1, "matched"), (0, "policy")]),
        (["-A INPUT -p udp -j RETURN", "-A INPUT"], [(1, "not matched"), (2, "matched"), (0, "policy")]),
        ([":X -", "-A INPUT -g X", "-A INPUT -j DROP"], [(1, "matched"), (0, "policy")]),
        ([":X -", "-A INPUT -j X", "-A INPUT"], [(1, "matched"), (2, "matched"), (0, "policy")]),
    ],
)
def test_rules_after_a_return_are_no_steps(rules: list[str], steps: list[tuple[int, str]]) -> None:
    found = trace(filtered(*rules))
    assert found.verdict.kind == "ACCEPT"
    assert [(step.number, step.outcome) for step in found.steps if step.chain == "INPUT"] == steps
