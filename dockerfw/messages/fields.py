"""Strict checks for untrusted JSON: every value has one exact type and a bound, every key is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_interface
from typing import NoReturn, TypeVar

from dockerfw.document.bounded_json import read_json
from dockerfw.iptables.errors import JsonError

MAX_MESSAGE_BYTES = 6 * 1024 * 1024
MAX_SAVE_CHARACTERS = 16 * 1024 * 1024
MAX_INTEGER = 2**53 - 1

HOST = re.compile(r"[a-z0-9][a-z0-9-]{0,49}", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z", re.ASCII)

T = TypeVar("T")


class MessageError(ValueError):
    """A message is not what it must be; `path` names the field, empty for the whole message."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


def load_json(raw: bytes | str, *, max_bytes: int = MAX_MESSAGE_BYTES) -> object:
    """Decode one JSON text of at most `max_bytes`; refuse duplicate keys, NaN and endless nesting."""
    if len(raw) > max_bytes:
        raise MessageError("", f"the message has {len(raw)} bytes; at most {max_bytes} are taken")
    try:
        return read_json(raw)
    except JsonError as error:
        raise MessageError("", str(error)) from None


def dump_json(value: Mapping[str, object]) -> bytes:
    """Encode one message as compact ASCII JSON (bytes that are not UTF-8 travel as lone surrogates)."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


class Fields:
    """The keys of one JSON object, each to be read once; `done` refuses what was not read."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise MessageError(path, f"must be an object, not {kind(value)}")
        self._values: dict[str, object] = value
        self.value: object = value
        self._read: set[str] = set()
        self.path = path

    @classmethod
    def of_message(cls, value: object, expected: str) -> Fields:
        """Open a message whose `format` must be `expected`."""
        fields = cls(value)
        found = fields.take("format")
        if found != expected:
            fields.fail("format", f"{str(found)[:80]!r} is not {expected!r}")
        return fields

    def at(self, key: str) -> str:
        """Name the field `key` with the path that leads to it."""
        return f"{self.path}.{key}" if self.path else key

    def fail(self, key: str, message: str) -> NoReturn:
        """Raise `MessageError` at the field `key`."""
        raise MessageError(self.at(key), message)

    def has(self, key: str) -> bool:
        """Say whether the key is there."""
        return key in self._values

    def take(self, key: str) -> object:
        """Return the value of `key`, which must be there."""
        self._read.add(key)
        if key not in self._values:
            self.fail(key, "is missing")
        return self._values[key]

    def text(self, key: str, *, longest: int, pattern: re.Pattern[str] | None = None, shape: str = "") -> str:
        """Return a string of at most `longest` characters that `pattern` matches; `shape` names it."""
        value = self.take(key)
        if not isinstance(value, str):
            self.fail(key, f"must be a string, not {kind(value)}")
        if len(value) > longest:
            self.fail(key, f"has {len(value)} characters; at most {longest} are taken")
        if pattern is not None and not pattern.fullmatch(value):
            self.fail(key, f"{value[:80]!r} is not {shape or 'of the right form'}")
        return value

    def integer(self, key: str, *, least: int = 0, most: int = MAX_INTEGER) -> int:
        """Return a whole number from `least` to `most`; true and 1.0 are not numbers here."""
        value = self.take(key)
        if type(value) is not int:
            self.fail(key, f"must be a whole number, not {kind(value)}")
        if not least <= value <= most:
            self.fail(key, f"{str(value)[:40]} is not from {least} to {most}")
        return value

    def number(self, key: str) -> float:
        """Return a number of seconds that is not negative."""
        value = self.take(key)
        if type(value) not in (int, float) or not isinstance(value, (int, float)):
            self.fail(key, f"must be a number, not {kind(value)}")
        if not 0 <= value <= MAX_INTEGER:
            self.fail(key, "is not a number of seconds")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.take(key)
        if not isinstance(value, bool):
            self.fail(key, f"must be true or false, not {kind(value)}")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        """Return one of the words in `allowed`."""
        value = self.take(key)
        if not isinstance(value, str) or value not in allowed:
            self.fail(key, f"{str(value)[:80]!r} is not one of {', '.join(allowed)}")
        return value

    def optional(self, key: str, read: Callable[[str], T]) -> T | None:
        """Return null as None, else what `read(key)` makes of the field."""
        return None if self.take(key) is None else read(key)

    def items(self, key: str, *, most: int) -> list[tuple[object, str]]:
        """Return the values of a list of at most `most`, each with its path."""
        value = self.take(key)
        if not isinstance(value, list):
            self.fail(key, f"must be a list, not {kind(value)}")
        if len(value) > most:
            self.fail(key, f"has {len(value)} items; at most {most} are taken")
        return [(item, f"{self.at(key)}[{index}]") for index, item in enumerate(value)]

    def texts(self, key: str, *, most: int, longest: int) -> tuple[str, ...]:
        """Return a list of at most `most` strings of at most `longest` characters."""
        found = []
        for item, path in self.items(key, most=most):
            if not isinstance(item, str) or len(item) > longest:
                raise MessageError(path, f"must be a string of at most {longest} characters")
            found.append(item)
        return tuple(found)

    def addresses(self, key: str, *, most: int) -> tuple[str, ...]:
        """Return a list of at most `most` addresses with their network's length (`192.0.2.1/24`)."""
        found = self.texts(key, most=most, longest=64)
        for index, text in enumerate(found):
            try:
                ip_interface(text)
            except ValueError:
                raise MessageError(
                    f"{self.at(key)}[{index}]", "must be an address such as 192.0.2.1/24"
                ) from None
        return found

    def uuid(self, key: str) -> str:
        """Return a version 4 UUID as lower-case text."""
        return self.text(key, longest=36, pattern=UUID, shape="a version 4 UUID in lower case")

    def host(self) -> str:
        """Return the name in the field `host`."""
        return self.text("host", longest=50, pattern=HOST, shape="the name of a host")

    def digest(self, key: str) -> str:
        """Return a SHA-256 digest as lower-case hex."""
        return self.text(key, longest=64, pattern=DIGEST, shape="a SHA-256 digest in lower-case hex")

    def time(self, key: str) -> str:
        """Return a UTC time in ISO 8601 form, as text."""
        return self.text(key, longest=32, pattern=TIME, shape="a UTC time like 2026-01-31T12:00:00Z")

    def object(self, key: str) -> Fields:
        """Return the fields of a nested object."""
        return Fields(self.take(key), self.at(key))

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        unknown = sorted(set(self._values) - self._read)
        if unknown:
            raise MessageError(self.at(unknown[0][:80]), "is not a known key")


def kind(value: object) -> str:
    """Name the JSON type of `value` for an error message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
