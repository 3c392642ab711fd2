"""The memory for large results: the ones used last stay."""

from __future__ import annotations

from dockerfw.simulation.remembered import Remembered


def test_results_that_are_used_stay_and_the_others_go() -> None:
    memory: Remembered[str] = Remembered(10)
    for key in "abc":
        assert memory.put(key, key.upper(), 3) == key.upper()
    assert memory.get("a") == "A"
    memory.put("d", "D", 3)
    assert [memory.get(key) for key in "abcd"] == ["A", None, "C", "D"]


def test_a_result_that_is_too_large_is_not_kept() -> None:
    memory: Remembered[str] = Remembered(10)
    memory.put("a", "A", 5)
    assert memory.put("b", "B", 11) == "B"
    assert (memory.get("a"), memory.get("b")) == ("A", None)
