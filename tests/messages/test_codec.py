"""The codec itself: what a class declares, and what reading refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest

from dockerfw.messages.codec import Absent, AtMost, Key, Message, _table_of
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Positive, Text
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.event_limit import LeftOut
from dockerfw.store.interrupted import RestoreRecord
from dockerfw.store.records import StateFile
from dockerfw.store.state import LastOrder
from rules.backup.archive import Manifest

STORED: tuple[type[Message], ...] = (LeftOut, ConfirmedRecord, RestoreRecord, LastOrder, Manifest)


@dataclass(frozen=True, slots=True)
class Part(Message):
    """A part with one field of each kind that the tests need."""

    count: Positive
    note: Annotated[str, Text(3), Key("words")] = "-"


@dataclass(frozen=True, slots=True)
class Whole(Message):
    """A message with parts."""

    FORMAT: ClassVar = "test/1"

    parts: Annotated[tuple[Part, ...], AtMost(2)]
    later: Annotated[bool, Absent.ALLOWED] = False
    rare: Annotated[tuple[Positive, ...], AtMost(2), Absent.WHEN_EMPTY] = ()


def all_messages(base: type[Message] = Message) -> Iterator[type[Message]]:
    """Yield every class of messages and stored files that has fields."""
    for message in base.__subclasses__():
        yield from all_messages(message)
        if message is not StateFile:
            yield message


def test_each_field_of_each_message_has_a_shape() -> None:
    found = {message for message in all_messages() if message.__module__ != __name__}
    assert found > set(STORED)
    for message in found:
        assert _table_of(message).rows


def test_a_message_with_parts_reads_back_the_same() -> None:
    value = {"format": "test/1", "parts": [{"count": 1, "words": "abc"}], "later": True, "rare": [2]}
    message = Whole((Part(1, "abc"),), later=True, rare=(2,))
    assert message.to_json() == value
    assert Whole.from_json(value) == message


def test_keys_that_earlier_releases_do_not_write_may_be_missing() -> None:
    message = Whole.from_json({"format": "test/1", "parts": []})
    assert message == Whole(())
    # An earlier release refuses the key `rare`.
    assert message.to_json() == {"format": "test/1", "parts": [], "later": False}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"format": "test/2"}, "format: 'test/2' is not 'test/1'"),
        ({"parts": None}, "parts: must be a list, not null"),
        ({"parts": [{"count": 1}] * 3}, "parts: has 3 items; at most 2 are allowed"),
        (
            {"parts": [{"count": 1, "words": "abcd"}]},
            "parts[0].words: has 4 characters; at most 3 are allowed",
        ),
        ({"parts": [{"count": 1, "words": "x"}, 2]}, "parts[1]: must be an object, not a number"),
        (
            {"parts": [{"count": True, "words": "x"}]},
            "parts[0].count: must be a whole number, not true or false",
        ),
        ({"parts": [{"words": "x"}]}, "parts[0].count: is missing"),
        ({"parts": [{"count": 1, "note": "x", "words": "x"}]}, "parts[0].note: is not a known key"),
        ({"rare": [1, 0]}, "rare[1]: 0 is not from 1 to 9007199254740991"),
    ],
)
def test_an_error_names_the_path_of_its_field(change: dict[str, object], error: str) -> None:
    with pytest.raises(MessageError) as caught:
        Whole.from_json({"format": "test/1", "parts": [], **change})
    assert str(caught.value) == error


def test_a_field_without_a_shape_is_a_mistake_of_the_class() -> None:
    @dataclass(frozen=True, slots=True)
    class Shapeless(Message):
        name: str

    with pytest.raises(TypeError, match="needs a shape"):
        Shapeless.from_json({"name": "x"})
