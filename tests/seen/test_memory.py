"""The cache of a process: the last few results, and the garbage collector while one is computed."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from threading import Event, Thread

import pytest

from rules.seen import memory as memory_module
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


def test_many_that_ask_at_once_wait_for_one_answer() -> None:
    memory: Memory[str] = Memory(4)
    made: list[str] = []
    begun, go_on = Event(), Event()

    def slowly() -> str:
        begun.set()
        go_on.wait(PATIENCE)
        made.append("made")
        return "answer"

    def fail() -> str:
        begun.set()
        go_on.wait(PATIENCE)
        raise ZeroDivisionError

    answers: list[str] = []

    def ask(compute: Callable[[], str]) -> None:
        with contextlib.suppress(ZeroDivisionError):
            answers.append(memory.get_or_compute(compute, compute) if compute is slowly else failing())

    def failing() -> str:
        return memory.get_or_compute("fails", fail if not begun.is_set() else lambda: "later")

    for compute, expected, times in ((slowly, ["answer"] * 3, 1), (fail, ["later"] * 2, 0)):
        begun.clear()
        go_on.clear()
        answers.clear()
        made.clear()
        threads = [Thread(target=ask, args=(compute,)) for _ in range(3)]
        threads[0].start()
        assert begun.wait(PATIENCE)
        for other in threads[1:]:
            other.start()
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert answers == expected
        assert len(made) == times


def test_answers_are_forgotten_by_the_rules_that_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "MOST_RULES", 10)
    memory: Memory[str] = Memory(8, len, least=2)
    for text in ("aaaa", "bbbb", "cc"):
        memory.get_or_compute(text, lambda text=text: text)  # type: ignore[misc]
    assert memory.get("aaaa") == "aaaa"
    memory.get_or_compute("d", lambda: "d")
    assert memory.get("aaaa") is None
    # One page may need that many, however large they are.
    for text in ("e" * 50, "f" * 50):
        memory.get_or_compute(text, lambda text=text: text)  # type: ignore[misc]
    assert [memory.get(text) for text in ("bbbb", "cc", "d")] == [None] * 3
    assert memory.get("e" * 50)
    assert memory.get("f" * 50)
