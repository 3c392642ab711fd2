"""The simulator against the kernel with 500 random packets; `scripts/soak` compares 10,000."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dockerfw.reach.container_sets import find_selected
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import Prepared, simulate
from dockerfw.simulation.trace import Trace, Verdict
from tests.differential.documents import SELECTORS
from tests.differential.play import Player, recorded_save, table
from tests.differential.pools import PUBLISHED
from tests.differential.world import BRIDGE, CONTAINER_ADDRESSES, ENGINE_OPTIONS, World
from tests.rig.namespace import FAMILIES, Family

pytestmark = [pytest.mark.lab, pytest.mark.kernel]


def test_the_simulator_agrees_with_the_kernel(world: World) -> None:
    tally = Player(world, seed=4).play(500)
    print(table(tally))
    assert tally.disagreements == []
    assert tally.cases == 500
    assert {"ACCEPT", "DROP", "REJECT"} <= tally.verdicts.keys()
    assert tally.verdicts["UNKNOWN"] < 25, tally.unknown
    assert {"passes", "refused"} <= tally.sources.keys()
    assert {"a list", "ports of containers", "static sources"} <= tally.hit.keys()


def test_rules_by_name_find_containers_of_the_world(world: World) -> None:
    known = world.listening.containers or ()
    found = {selector: {each.name for each in find_selected(known, selector)} for selector in SELECTORS}
    assert found.pop("gone") == set()
    assert all(found.values()), found
    assert found["label:tier=front"] == {"web", "shop"}
    assert found["store/db"] == {"vault"}
    published = {port.port for each in known for port in each.publications if port.port != 8083}
    assert published == {*PUBLISHED, 9102}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_recorded_engine_was_in_the_same_world(family: Family) -> None:
    """If this fails, record it again with `python -m tests.differential.record`."""
    save = recorded_save(family).read_text()
    assert "tables-nft-save v1.8.13 (nf_tables) on " in save.splitlines()[0]
    bridges = ["docker0"] * 3 + [BRIDGE] * 2
    for address, bridge in zip(CONTAINER_ADDRESSES[family], bridges, strict=True):
        bits = 32 if family == 4 else 128
        assert f"\n-A PREROUTING -d {address}/{bits} ! -i {bridge} -j DROP\n" in save
    (network,) = [word.split("=")[1] for word in ENGINE_OPTIONS if "fixed-cidr-v6" in word]
    sources = {4: ("172.17.0.0/16", "172.30.0.0/16"), 6: (network, "2001:db8:d0d::/64")}[family]
    for source, bridge in zip(sources, ("docker0", BRIDGE), strict=True):
        assert f"\n-A POSTROUTING -s {source} ! -o {bridge} -j MASQUERADE\n" in save


LIES: dict[str, Callable[[Verdict], Verdict]] = {
    "verdict": lambda verdict: Verdict("DROP" if verdict.kind == "ACCEPT" else "ACCEPT", step=verdict.step),
    "rule": lambda verdict: replace(verdict, step=verdict.step and replace(verdict.step, number=99)),
    "answer": lambda verdict: replace(verdict, reject_with=f"not {verdict.reject_with}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_simulator_is_detected(world: World, lie: str) -> None:
    def liar(prepared: Prepared, packet: Packet) -> Trace:
        truth = simulate(prepared, packet)
        return replace(truth, verdict=LIES[lie](truth.verdict))

    player = Player(world, seed=6, ask=liar)
    tally = player.play(50, say=lambda text: None)
    expected = {"verdict": 40, "rule": 40, "answer": 3}[lie]
    assert len(tally.disagreements) >= expected, table(tally)
    assert all("ruleset" in text and "SAVE" in text for text in tally.disagreements)
