"""A short run of what scripts/soak does at length: faults at random, and nothing is lost."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.faults.books import lie_in
from tests.faults.soak import soak, table
from tests.rig.namespace import why_unavailable

ROLLED_BACK: dict[str, Any] = {
    "state": "rolled_back",
    "event": 10_000,
    "error": None,
    "way_back": {"reason": "silence"},
    "revision": 7,
    "confirmed": 5,
    "audit": ["apply-start", "apply-awaiting", "apply-rolled_back"],
}
KEPT = {**ROLLED_BACK, "state": "confirmed", "way_back": None, "confirmed": 7, "audit": ["apply-confirmed"]}
LIES: dict[str, dict[str, Any]] = {
    "kept, by the state alone": {"state": "confirmed"},
    "kept, by the host alone": {"confirmed": 7},
    "nothing confirmed any more": {"confirmed": None},
    "back without a reason": {"way_back": None},
    "with an error": {"error": {"step": "report"}},
    "another revision": {"revision": 6},
    "told twice": {"audit": [*ROLLED_BACK["audit"], "apply-rolled_back"]},
    "another end told before": {"audit": ["apply-failed", "apply-rolled_back"]},
    "never told": {"audit": ["apply-start", "apply-awaiting"]},
}


@pytest.mark.kernel
@pytest.mark.redis
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_twenty_faults_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := why_unavailable():
        pytest.skip(f"no network namespace can be made: {reason}")
    # How soon after the deadline is for scripts/soak: other tests run beside this one.
    monkeypatch.setattr("tests.faults.play.LATE_SECONDS", 14.0)
    tally = soak(20, seed=20, rigs=2)
    print(table(tally))
    assert tally.losses == []
    assert tally.counts.total() == 20


def test_books_that_tell_the_truth() -> None:
    assert lie_in(ROLLED_BACK, 7, 5, given_up=False) == ""
    assert lie_in(KEPT, 7, 5, given_up=False) == ""
    given_up = {**KEPT, "audit": ["apply-failed", "apply-awaiting", "apply-failed", "apply-confirmed"]}
    assert lie_in(given_up, 7, 5, given_up=True) == ""


@pytest.mark.parametrize("name", LIES)
def test_books_that_lie_are_found_out(name: str) -> None:
    assert lie_in({**ROLLED_BACK, **LIES[name]}, 7, 5, given_up=False)
