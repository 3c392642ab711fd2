"""How a line falls into words, and how words are written."""

from __future__ import annotations

import pytest

from dockerfw.iptables.tokens import (
    Quoted,
    TokenError,
    join_tokens,
    locate_restore_tokens,
    locate_tokens,
    printable,
    quote_token,
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


def test_a_word_in_quotes_is_known_as_such() -> None:
    bare, quoted = split_tokens('-j "-j"')
    assert not isinstance(bare, Quoted)
    assert isinstance(quoted, Quoted)


def test_offsets() -> None:
    assert locate_tokens('-A  X "a b" c') == [(0, "-A"), (4, "X"), (6, "a b"), (12, "c")]


@pytest.mark.parametrize(
    ("line", "offset", "message"),
    [
        ('-m "open', 3, "never closed"),
        ('"open\\"', 0, "never closed"),
        ('"a"b', 3, "followed by a blank"),
        ('x "a""b"', 5, "followed by a blank"),
    ],
)
def test_quotes_that_are_wrong(line: str, offset: int, message: str) -> None:
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
def test_quotes_that_are_wrong_in_a_restore_file(line: str) -> None:
    with pytest.raises(TokenError):
        locate_restore_tokens(line)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain-word_1", "plain-word_1"),
        ("-j", "-j"),
        ("", '""'),
        ("!", '"!"'),
        ("dockerfw:k3f9", '"dockerfw:k3f9"'),
        ("a b", '"a b"'),
        ('it\'s "so" \\', r'"it\'s \"so\" \\"'),
        ("é", '"é"'),
    ],
)
def test_a_string_is_quoted_as_iptables_save_does(value: str, written: str) -> None:
    assert quote_token(value) == written
    assert split_tokens(written) == (value,)


def test_words_are_joined_with_no_more_quotes_than_needed() -> None:
    words = ("!", "-s", "10.0.0.0/8", "--comment", "a b", "", Quoted("-x"), Quoted("!"), '"')
    joined = join_tokens(words)
    assert joined == r'! -s 10.0.0.0/8 --comment "a b" "" "-x" "!" "\""'
    assert split_tokens(joined) == words


def test_what_was_no_text_can_be_shown() -> None:
    assert printable("caf\udcc3") == "caf\ufffd"
    assert printable("café 漢字") == "café 漢字"
