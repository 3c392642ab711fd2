"""The one codec of messages and stored files: the annotations of a dataclass are its table of fields.

A frozen dataclass that inherits from `Message` gets `from_json` and `to_json`. Most fields are annotated with
a shape from shapes.py, such as `Annotated[str, Text(64)]`; literals, flags, messages, and tuples and `None`
of these need none. The order of the fields is the order of the keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from dockerfw.document.bounded_json import read_json
from dockerfw.iptables.errors import JsonError
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Flag, ListOf, OneOf, OrNull, Shape, kind

MAX_MESSAGE_BYTES = 6 * 1024 * 1024


def load_json(raw: bytes | str, *, max_bytes: int = MAX_MESSAGE_BYTES) -> object:
    """Decode one JSON text of at most `max_bytes`; refuse duplicate keys, NaN and endless nesting."""
    if len(raw) > max_bytes:
        raise MessageError("", f"the message has {len(raw)} bytes; at most {max_bytes} are allowed")
    try:
        return read_json(raw)
    except JsonError as error:
        raise MessageError("", str(error)) from None


def dump_json(value: Mapping[str, object]) -> bytes:
    """Encode one message as compact ASCII JSON; bytes that are not UTF-8 become lone surrogates."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


class Message:
    """Base of the frozen dataclasses that are one JSON object in a message or a file."""

    __slots__ = ()

    FORMAT: ClassVar[str] = ""
    """The value of the key `format`; the parts of a message have no such key."""
    IGNORES_UNKNOWN_KEYS: ClassVar[bool] = False

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON object. Raises MessageError."""
        if not isinstance(value, dict):
            raise MessageError("", f"must be an object, not {kind(value)}")
        table, arguments, key = _table_of(cls), {}, "format"
        try:
            if cls.FORMAT:
                _check_format(value, cls.FORMAT)
            for name, key, shape, absence in table.rows:
                if key in value:
                    arguments[name] = shape.read(value[key])
                elif absence is None:
                    raise MessageError("", "is missing")
        except MessageError as error:
            raise error.within(key) from None
        if not cls.IGNORES_UNKNOWN_KEYS and (unknown := value.keys() - table.keys):
            raise MessageError(min(unknown)[:80], "is not a known key")
        message = cls(**arguments)
        message.check()
        return message

    def to_json(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        value: dict[str, object] = {"format": self.FORMAT} if self.FORMAT else {}
        for name, key, shape, absence in _table_of(type(self)).rows:
            item = getattr(self, name)
            if absence is not Absent.WHEN_EMPTY or item:
                value[key] = shape.write(item)
        return value

    def check(self) -> None:
        """Raise MessageError when fields that are valid by themselves contradict each other."""


@dataclass(frozen=True, slots=True)
class Key:
    """Marks a field whose key in JSON is not its name."""

    name: str


@dataclass(frozen=True, slots=True)
class AtMost:
    """Bounds a tuple."""

    items: int


class Absent(Enum):
    """Marks a field that earlier releases do not know: its key may be missing, and the default counts."""

    ALLOWED = "allowed"
    WHEN_EMPTY = "when empty"
    """An empty value is not written either, since earlier releases refuse the key."""


@dataclass(frozen=True, slots=True)
class Part(Shape):
    """Another message as a part of this one."""

    message: type[Message]

    def read(self, value: object) -> Message:
        """Return the message."""
        return self.message.from_json(value)

    def write(self, value: Message) -> dict[str, object]:
        """Return its JSON object."""
        return value.to_json()


class _Row(NamedTuple):
    name: str
    key: str
    shape: Shape
    absence: Absent | None


class _Table(NamedTuple):
    rows: tuple[_Row, ...]
    keys: frozenset[str]


_tables: dict[type[Message], _Table] = {}


def _table_of(message: type[Message]) -> _Table:
    if (table := _tables.get(message)) is None:
        table = _tables[message] = _make_table(message)
    return table


def _make_table(message: type[Message]) -> _Table:
    hints = get_type_hints(message, include_extras=True)
    rows = [_row(field.name, hints[field.name]) for field in fields(message)]  # type: ignore[arg-type]
    keys = frozenset(row.key for row in rows) | ({"format"} if message.FORMAT else set())
    return _Table(tuple(rows), keys)


def _row(name: str, hint: Any) -> _Row:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    key = next((mark.name for mark in marks if isinstance(mark, Key)), name)
    absence = next((mark for mark in marks if isinstance(mark, Absent)), None)
    return _Row(name, key, _shape(hint), absence)


def _shape(hint: Any) -> Shape:
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)  # type: ignore[assignment]
    for mark in marks:
        if isinstance(mark, Shape):
            return mark
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return OneOf(arguments)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return OrNull(_shape(inner))
    if origin is tuple:
        (most,) = (mark.items for mark in marks if isinstance(mark, AtMost))
        return ListOf(_shape(arguments[0]), most)
    if hint is bool:
        return Flag()
    if isinstance(hint, type) and issubclass(hint, Message):
        return Part(hint)
    raise TypeError(f"a field of type {hint} needs a shape")


def _check_format(value: dict[str, object], wanted: str) -> None:
    if "format" not in value:
        raise MessageError("", "is missing")
    if value["format"] != wanted:
        raise MessageError("", f"{str(value['format'])[:80]!r} is not {wanted!r}")
