"""The forms that a JSON value in a message can have, each with one exact type and a bound.

A shape reads the JSON value into a Python value and writes it back. The annotations at the end combine a
Python type with its shape, ready for the fields of a message. codec.py reads whole messages.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Annotated, Any

from dockerfw.messages.errors import MessageError

MAX_INTEGER = 2**53 - 1


class Shape(ABC):
    """The form of one JSON value."""

    __slots__ = ()

    @abstractmethod
    def read(self, value: object) -> Any:
        """Check the JSON value and return the Python value. Raises MessageError, with a path inside of it."""

    def write(self, value: Any) -> object:
        """Return the JSON value of a Python value."""
        return value


@dataclass(frozen=True, slots=True)
class Text(Shape):
    """A string of at most `longest` characters that passes `check`; `form` says what that is."""

    longest: int
    check: Callable[[str], object] | None = None
    form: str = ""
    or_empty: bool = False

    def read(self, value: object) -> str:
        """Return the string."""
        if not isinstance(value, str):
            raise MessageError("", f"must be a string, not {kind(value)}")
        if len(value) > self.longest:
            raise MessageError("", f"has {len(value)} characters; at most {self.longest} are allowed")
        if self.check is not None and not (self.or_empty and not value) and not self.check(value):
            raise MessageError("", f"{value[:80]!r} is not {self.form}{' or empty' if self.or_empty else ''}")
        return value


@dataclass(frozen=True, slots=True)
class Whole(Shape):
    """A whole number; true and 1.0 are none. With `capped`, a larger one is written as `most`."""

    least: int = 0
    most: int = MAX_INTEGER
    capped: bool = False

    def read(self, value: object) -> int:
        """Return the number."""
        if type(value) is not int:
            raise MessageError("", f"must be a whole number, not {kind(value)}")
        if not self.least <= value <= self.most:
            raise MessageError("", f"{str(value)[:40]} is not from {self.least} to {self.most}")
        return value

    def write(self, value: int) -> int:
        """Return the number within its bound."""
        return min(value, self.most) if self.capped else value


class Number(Shape):
    """A number of seconds that is not negative."""

    __slots__ = ()

    def read(self, value: object) -> float:
        """Return the number."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise MessageError("", f"must be a number, not {kind(value)}")
        if not 0 <= value <= MAX_INTEGER:
            raise MessageError("", "is not a number of seconds")
        return float(value)


class Flag(Shape):
    """True or false."""

    __slots__ = ()

    def read(self, value: object) -> bool:
        """Return the flag."""
        if not isinstance(value, bool):
            raise MessageError("", f"must be true or false, not {kind(value)}")
        return value


@dataclass(frozen=True, slots=True)
class OneOf(Shape):
    """One of a few words, or one of a few numbers."""

    allowed: tuple[object, ...]

    def read(self, value: object) -> object:
        """Return the word."""
        if type(value) is not type(self.allowed[0]) or value not in self.allowed:
            words = ", ".join(map(str, self.allowed))
            raise MessageError("", f"{str(value)[:80]!r} is not one of {words}")
        return value


class Anything(Shape):
    """Any JSON value; its reader has to check it."""

    __slots__ = ()

    def read(self, value: object) -> object:
        """Return the value as it is."""
        return value


class AnyObject(Shape):
    """An object with any keys and values; its reader has to check them."""

    __slots__ = ()

    def read(self, value: object) -> dict[str, object]:
        """Return the object as it is."""
        if not isinstance(value, dict):
            raise MessageError("", f"must be an object, not {kind(value)}")
        return value

    def write(self, value: Mapping[str, object]) -> dict[str, object]:
        """Return the object."""
        return dict(value)


@dataclass(frozen=True, slots=True)
class OrNull(Shape):
    """Null for None, or another shape."""

    inner: Shape

    def read(self, value: object) -> Any:
        """Return None or the value."""
        return None if value is None else self.inner.read(value)

    def write(self, value: Any) -> object:
        """Return None or the JSON value."""
        return None if value is None else self.inner.write(value)


@dataclass(frozen=True, slots=True)
class ListOf(Shape):
    """A list of at most `most` values of one shape."""

    inner: Shape
    most: int

    def read(self, value: object) -> tuple[Any, ...]:
        """Return the values."""
        if not isinstance(value, list):
            raise MessageError("", f"must be a list, not {kind(value)}")
        if len(value) > self.most:
            raise MessageError("", f"has {len(value)} items; at most {self.most} are allowed")
        read, found = self.inner.read, []
        try:
            for item in value:
                found.append(read(item))  # noqa: PERF401 - its length is the index of a wrong item
        except MessageError as error:
            raise error.within(f"[{len(found)}]") from None
        return tuple(found)

    def write(self, value: tuple[Any, ...]) -> list[object]:
        """Return the JSON values."""
        # Texts and numbers are written as they are; a set can have 20,000 of them.
        as_is = type(self.inner).write is Shape.write
        return list(value) if as_is else [self.inner.write(item) for item in value]


@dataclass(frozen=True, slots=True)
class Entries(Shape):
    """An object with one entry for each of `keys` and no other; with `some`, for any of them among others."""

    keys: tuple[Any, ...]
    inner: Shape
    some: bool = False

    def read(self, value: object) -> dict[Any, Any]:
        """Return the entries, with the keys as they are in Python."""
        entries, found = AnyObject().read(value), {}
        for key in self.keys:
            try:
                if str(key) in entries:
                    found[key] = self.inner.read(entries[str(key)])
                elif not self.some:
                    raise MessageError("", "is missing")
            except MessageError as error:
                raise error.within(str(key)) from None
        if not self.some and (unknown := entries.keys() - set(map(str, self.keys))):
            raise MessageError(min(unknown)[:80], "is not a known key")
        return found

    def write(self, value: Mapping[Any, Any]) -> dict[str, object]:
        """Return the object."""
        return {str(key): self.inner.write(value[key]) for key in self.keys if key in value or not self.some}


@dataclass(frozen=True, slots=True)
class EntriesNamed(Shape):
    """An object with any number of entries whose keys pass `check`; others are left out."""

    check: Callable[[str], bool]
    inner: Shape

    def read(self, value: object) -> dict[str, Any]:
        """Return the entries."""
        found: dict[str, Any] = {}
        for key, item in AnyObject().read(value).items():
            if self.check(key):
                try:
                    found[key] = self.inner.read(item)
                except MessageError as error:
                    raise error.within(key) from None
        return found

    def write(self, value: Mapping[str, Any]) -> dict[str, object]:
        """Return the object."""
        return {key: self.inner.write(item) for key, item in value.items()}


@dataclass(frozen=True, slots=True)
class Converted(Shape):
    """Another shape, whose value is converted after it was read and before it is written."""

    inner: Shape
    after: Callable[[Any], Any]
    before: Callable[[Any], Any]

    def read(self, value: object) -> Any:
        """Return the converted value."""
        return self.after(self.inner.read(value))

    def write(self, value: Any) -> object:
        """Return the JSON value."""
        return self.inner.write(self.before(value))


def kind(value: object) -> str:
    """Name the JSON type of `value` for an error message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_interface_address(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True


_HOST = re.compile(r"[a-z0-9][a-z0-9-]{0,49}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{128}", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z", re.ASCII)

HostName = Annotated[str, Text(50, _HOST.fullmatch, "the name of a host")]
Uuid = Annotated[str, Text(36, _UUID.fullmatch, "a version 4 UUID in lower case")]
Digest = Annotated[str, Text(64, _DIGEST.fullmatch, "a SHA-256 digest in lower-case hex")]
SignatureText = Annotated[
    str, Text(128, _SIGNATURE.fullmatch, "an Ed25519 signature in lower-case hex", or_empty=True)
]
Time = Annotated[str, Text(32, _TIME.fullmatch, "a UTC time like 2026-01-31T12:00:00Z")]
TimeOrNone = Annotated[str, Text(32, _TIME.fullmatch, "a UTC time like 2026-01-31T12:00:00Z", or_empty=True)]
BootId = Annotated[str, Text(64)]
Seconds = Annotated[float, Number()]
Count = Annotated[int, Whole()]
Positive = Annotated[int, Whole(1)]
Port = Annotated[int, Whole(1, 65535)]
InterfaceName = Annotated[str, Text(64)]
Address = Annotated[str, Text(64, _is_address, "an address such as 192.0.2.1", or_empty=True)]
"""An IP address, empty for any address."""
InterfaceAddress = Annotated[str, Text(64, _is_interface_address, "an address such as 192.0.2.1/24")]
