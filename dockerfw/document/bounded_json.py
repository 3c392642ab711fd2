"""A JSON reader for untrusted text: it limits nesting and digits, and refuses duplicate keys and NaN."""

from __future__ import annotations

import json
from typing import Final

from dockerfw.document import sentences
from dockerfw.iptables.errors import JsonError

MAX_DIGITS: Final = 100


def read_json(text: bytes | str) -> object:
    """Return the value of a JSON text (bytes: UTF-8), whose length the caller limits. Raises JsonError."""
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8-sig"),
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_bounded_integer,
        )
    except UnicodeDecodeError as error:
        raise JsonError(sentences.not_utf8(error.start + 1)) from None
    except json.JSONDecodeError as error:
        raise JsonError(sentences.not_json(error.msg, error.lineno, error.colno)) from None
    except RecursionError:
        raise JsonError(sentences.TOO_DEEP) from None


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonError(sentences.duplicate_key(twice[:60]))
    return result


def _refuse_constant(text: str) -> object:
    raise JsonError(sentences.not_a_json_value(text))


def _bounded_integer(digits: str) -> int:
    # Python 3.11.0rc1 (Ubuntu 22.04) has no limit of its own, and needs minutes for millions of digits.
    if len(digits) > MAX_DIGITS:
        raise JsonError(sentences.number_too_long(len(digits), MAX_DIGITS))
    return int(digits)
