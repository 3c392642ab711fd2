"""The cache of a process: the last few results, and the garbage collector while one is computed."""

from __future__ import annotations

import gc
from threading import Event, Thread

import pytest

from rules.seen.memory import Memory
from tests.rig.namespace import PATIENCE


def test_the_last_few_answers_are_remembered() -> None:
    memory: Memory[str] = Memory(2)
    made: list[str] = []

    def ask(name: str) -> str:
        return memory.get_or_compute(name, lambda: made.append(name) or name)  # type: ignore[func-returns-value]

    assert [ask(name) for name in ("one", "two", "one", "three", "one", "two")] == [
        *("one", "two", "one", "three", "one", "two")
    ]
    assert made == ["one", "two", "three", "two"]
    assert memory.get("three") is None
    assert memory.get("two") == "two"


def test_nothing_is_collected_while_an_answer_is_made_and_everything_is_after() -> None:
    memory: Memory[bool] = Memory(4)
    assert gc.isenabled()
    assert (
        memory.get_or_compute("outer", lambda: memory.get_or_compute("inner", gc.isenabled) or gc.isenabled())
        is False
    )
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        memory.get_or_compute("fails", lambda: bool(1 // 0))
    assert gc.isenabled()
    assert memory.get("fails") is None


def test_the_collector_comes_back_whichever_thread_is_done_first() -> None:
    memory: Memory[str] = Memory(4)
    begun, go_on = Event(), Event()

    def slowly() -> str:
        begun.set()
        return str(go_on.wait(PATIENCE))

    other = Thread(target=memory.get_or_compute, args=("slow", slowly))
    other.start()
    try:
        assert begun.wait(PATIENCE)
        assert memory.get_or_compute("quick", lambda: str(gc.isenabled())) == "False"
        assert not gc.isenabled()
    finally:
        go_on.set()
        other.join(PATIENCE)
    assert gc.isenabled()
    assert memory.get("slow") == "True"
