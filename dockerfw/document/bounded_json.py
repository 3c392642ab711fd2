"""JSON of others, read in bounded time: no endless nesting or digits, no key twice, no NaN.

Owns the one reader of JSON that is not dockerfw's own. What the values mean is for who asked.
"""

from __future__ import annotations

import json
from typing import Final

from dockerfw.iptables.errors import JsonError

MAX_DIGITS: Final = 100


def read_json(text: bytes | str) -> object:
    """Return the value of one JSON text, bytes being UTF-8; the caller bounds its length. JsonError."""
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8-sig"),
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_bounded_integer,
        )
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 text: byte {error.start + 1} cannot be read") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise JsonError("not JSON that can be read: it is nested too deeply") from None


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonError(f"the key {twice[:60]!r} is given twice in one object")
    return result


def _refuse_constant(text: str) -> object:
    raise JsonError(f"{text} is not a value of JSON")


def _bounded_integer(digits: str) -> int:
    # Python 3.11.0rc1 (Ubuntu 22.04) has no bound of its own, and millions of digits take it minutes.
    if len(digits) > MAX_DIGITS:
        raise JsonError(f"a number has {len(digits)} digits (at most {MAX_DIGITS})")
    return int(digits)
