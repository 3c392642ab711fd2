"""JSON from outside: what is accepted, and how fast the rest is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from dockerfw.document import sentences
from dockerfw.document.bounded_json import MAX_DIGITS, read_json
from dockerfw.iptables.errors import JsonError


@pytest.fixture
def without_python_limit() -> Iterator[None]:
    """Turn off Python's own limit on digits, which the Python of Ubuntu 22.04 does not have."""
    former = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(former)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'\xef\xbb\xbf{"a": [1, -2.5, null, true]}', {"a": [1, -2.5, None, True]}),
        ('"\\udcff"', "\udcff"),
        ("9" * MAX_DIGITS, 10**MAX_DIGITS - 1),
    ],
)
def test_accepted_json(text: bytes | str, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.usefixtures("without_python_limit")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", sentences.not_json("Expecting value", 1, 1)),
        (b'["a",\n b]', sentences.not_json("Expecting value", 2, 2)),
        (b'"\xff"', sentences.not_utf8(2)),
        ("[" * 200_000, sentences.TOO_DEEP),
        ("[NaN]", sentences.not_a_json_value("NaN")),
        ("[-Infinity]", sentences.not_a_json_value("-Infinity")),
        ('[{"a": 1, "a": 2}]', sentences.duplicate_key("a")),
        ('{"\\udcff": 1, "\\udcff": 2}', sentences.duplicate_key("\udcff")),
        pytest.param("9" * 4_000_000, sentences.number_too_long(4_000_000, MAX_DIGITS), id="endless digits"),
        pytest.param(b'{"a": -' + b"9" * 4_000_000 + b"}", "a number has", id="endless digits below zero"),
    ],
)
def test_refused_json(text: bytes | str, error: str) -> None:
    with pytest.raises(JsonError) as caught:
        read_json(text)
    assert str(caught.value).startswith(error)
