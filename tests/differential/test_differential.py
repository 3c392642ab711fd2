"""The simulator against the kernel, 500 packets by chance; `scripts/soak` compares 10,000."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rules.netfilter.simulation.packet import Packet
from rules.netfilter.simulation.simulate import Prepared, simulate
from rules.netfilter.simulation.trace import Trace, Verdict
from tests.differential.play import Player, table
from tests.differential.world import World

pytestmark = [pytest.mark.lab, pytest.mark.kernel]


def test_the_simulator_says_what_the_kernel_does(world: World) -> None:
    tally = Player(world, seed=4).play(500)
    print(table(tally))
    assert tally.disagreements == []
    assert tally.cases == 500
    assert {"ACCEPT", "DROP", "REJECT"} <= tally.verdicts.keys()
    assert tally.verdicts["UNKNOWN"] < 25, tally.unknown
    assert {"passes", "refused"} <= tally.sources.keys()


LIES: dict[str, Callable[[Verdict], Verdict]] = {
    "verdict": lambda verdict: Verdict("DROP" if verdict.kind == "ACCEPT" else "ACCEPT", step=verdict.step),
    "rule": lambda verdict: replace(verdict, step=verdict.step and replace(verdict.step, number=99)),
    "answer": lambda verdict: replace(verdict, reject_with=f"not {verdict.reject_with}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_simulator_is_found_out(world: World, lie: str) -> None:
    def liar(prepared: Prepared, packet: Packet) -> Trace:
        told = simulate(prepared, packet)
        return replace(told, verdict=LIES[lie](told.verdict))

    player = Player(world, seed=5, ask=liar)
    tally = player.play(50, say=lambda text: None)
    expected = {"verdict": 40, "rule": 40, "answer": 3}[lie]
    assert len(tally.disagreements) >= expected, table(tally)
    assert all("ruleset" in text and "SAVE" in text for text in tally.disagreements)
