"""Splitting a line into words, and joining words to a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.iptables import sentences
from dockerfw.iptables.tokens import (
    Quoted,
    TokenError,
    join_tokens,
    locate_restore_tokens,
    locate_tokens,
    printable,
    split_tokens,
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ()),
        ("  \t ", ()),
        ("-A INPUT -j ACCEPT", ("-A", "INPUT", "-j", "ACCEPT")),
        ("  a\t b ", ("a", "b")),
        ('--comment "two words"', ("--comment", "two words")),
        ('--comment ""', ("--comment", "")),
        (r'"it\'s \"so\" \\ here"', ('it\'s "so" \\ here',)),
        (r'"\x"', ("x",)),
        ("it's", ("it's",)),
        ('a"b c"d', ('a"b', 'c"d')),
        ('"a\nb" c', ("a\nb", "c")),
        ("a\u00a0b\u2003c\x0bd\x85e", ("a\u00a0b\u2003c\x0bd\x85e",)),
        ("end\r", ("end",)),
    ],
)
def test_words_of_a_saved_line(line: str, words: tuple[str, ...]) -> None:
    assert split_tokens(line) == words


@given(st.text(st.sampled_from(' "\\\t\ra-'), max_size=12))
def test_lines_with_simple_quotes_are_split_like_others(line: str) -> None:
    try:
        slow = [(type(word), word) for _, word in locate_tokens(line)]
    except TokenError:
        with pytest.raises(TokenError):
            split_tokens(line)
        return
    assert [(type(word), word) for word in split_tokens(line)] == slow


def test_a_word_in_quotes_is_quoted() -> None:
    bare, quoted = split_tokens('-j "-j"')
    assert not isinstance(bare, Quoted)
    assert isinstance(quoted, Quoted)


def test_offsets() -> None:
    assert locate_tokens('-A  X "a b" c') == [(0, "-A"), (4, "X"), (6, "a b"), (12, "c")]


@pytest.mark.parametrize(
    ("line", "offset", "message"),
    [
        ('-m "open', 3, sentences.QUOTE_NOT_CLOSED),
        ('"open\\"', 0, sentences.QUOTE_NOT_CLOSED),
        ('"a"b', 3, sentences.BLANK_AFTER_QUOTE),
        ('x "a""b"', 5, sentences.BLANK_AFTER_QUOTE),
    ],
)
def test_bad_quotes(line: str, offset: int, message: str) -> None:
    with pytest.raises(TokenError, match=message) as caught:
        split_tokens(line)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b", ["a", "b"]),
        ('--log-prefix="a b" -j X', ["--log-prefix=a b", "-j", "X"]),
        ('a"b c" d', ["ab c", "d"]),
        (r'"a\"b" ""', ['a"b', ""]),
    ],
)
def test_words_of_a_restore_file(line: str, words: list[str]) -> None:
    assert [word for _, word in locate_restore_tokens(line)] == words


@pytest.mark.parametrize("line", ['a"b', '"a"b"c', 'x "', '"a""b"'])
def test_bad_quotes_in_a_restore_file(line: str) -> None:
    with pytest.raises(TokenError):
        locate_restore_tokens(line)


def test_words_are_joined_with_no_more_quotes_than_needed() -> None:
    words = ("!", "-s", "10.0.0.0/8", "--comment", "a b", "", Quoted("-x"), Quoted("!"), '"')
    joined = join_tokens(words)
    assert joined == r'! -s 10.0.0.0/8 --comment "a b" "" "-x" "!" "\""'
    assert split_tokens(joined) == words


def test_bytes_that_are_not_utf8_become_printable() -> None:
    assert printable("caf\udcc3") == "caf\ufffd"
    assert printable("café 漢字") == "café 漢字"
