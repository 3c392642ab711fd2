"""What is taken for JSON when others wrote it, and in how much time the rest is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from dockerfw.document.bounded_json import MAX_DIGITS, read_json
from dockerfw.iptables.errors import JsonError


@pytest.fixture
def no_bound_of_pythons() -> Iterator[None]:
    """Turn off Python's own bound on digits, which that of Ubuntu 22.04 lacks."""
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
def test_what_is_json(text: bytes | str, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.usefixtures("no_bound_of_pythons")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: Expecting value at line 1, column 1"),
        (b'["a",\n b]', "not JSON: Expecting value at line 2, column 2"),
        (b'"\xff"', "not UTF-8 text: byte 2 cannot be read"),
        ("[" * 200_000, "not JSON that can be read: it is nested too deeply"),
        ("[NaN]", "NaN is not a value of JSON"),
        ("[-Infinity]", "-Infinity is not a value of JSON"),
        ('[{"a": 1, "a": 2}]', "the key 'a' is given twice in one object"),
        ('{"\\udcff": 1, "\\udcff": 2}', "the key '\\udcff' is given twice in one object"),
        pytest.param("9" * 4_000_000, "a number has 4000000 digits (at most 100)", id="endless digits"),
        pytest.param(b'{"a": -' + b"9" * 4_000_000 + b"}", "a number has", id="endless digits below zero"),
    ],
)
def test_what_is_refused_in_words(text: bytes | str, words: str) -> None:
    with pytest.raises(JsonError) as caught:
        read_json(text)
    assert str(caught.value).startswith(words)
