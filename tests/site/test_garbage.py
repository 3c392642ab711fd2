"""The web process looks for garbage after an answer that left much behind, and never within a request."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from dockerfw_site.garbage import MANY, WHOLE_EVERY, Collector


class Page:
    """What a page leaves behind: objects that refer to each other."""

    def __init__(self) -> None:
        self.itself = self
        self.rows = [[number] for number in range(MANY)]


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """The generations that were looked at, in order."""
    found: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            found.append(about["generation"])

    thresholds = gc.get_threshold()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_a_request_is_not_interrupted_and_its_garbage_goes_after_the_answer(looks: list[int]) -> None:
    collector = Collector()
    collector.start()
    looks.clear()
    page = Page()
    left = weakref.ref(page)
    del page
    assert looks == []
    assert left() is not None
    collector.after_answer()
    assert looks == [1]
    assert left() is None


def test_a_small_answer_is_followed_by_no_look(looks: list[int]) -> None:
    collector = Collector()
    collector.start()
    looks.clear()
    collector.after_answer()
    assert looks == []


def test_what_grew_old_in_the_meantime_goes_too(looks: list[int]) -> None:
    collector = Collector()
    collector.start()
    page = Page()
    left = weakref.ref(page)
    # The page is still in use, and so it grows old.
    collector.after_answer()
    del page
    looks.clear()
    for _ in range(WHOLE_EVERY - 1):
        kept = [[number] for number in range(MANY + 1_000)]
        collector.after_answer()
        del kept
    assert looks[-1] == 2
    assert left() is None
