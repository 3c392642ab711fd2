"""A short run of what scripts/soak does at length: faults at random, and nothing is lost."""

from __future__ import annotations

import os

import pytest

from tests.faults.soak import soak, table
from tests.kernel.namespace import why_unavailable

pytestmark = [pytest.mark.kernel, pytest.mark.redis]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_twenty_faults_and_nothing_is_lost() -> None:
    if reason := why_unavailable():
        pytest.skip(f"no network namespace can be made: {reason}")
    tally = soak(20, seed=20, rigs=2)
    print(table(tally))
    assert tally.losses == []
    assert tally.counts.total() == 20
    assert tally.latest < 5
