"""The words of a rule line: the quoting of iptables-save and of iptables-restore.

iptables-save (xtables_save_string) puts a string in double quotes unless it consists of letters, digits, `_`
and `-`, and writes `\\"`, `\\'` and `\\\\` inside. It prints names of interfaces, chains and lists unchanged,
so a double quote inside a word is an ordinary character. iptables-restore (add_param_to_argv) also opens a
quoted part in the middle of a word, and a closing quote ends the word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dockerfw.iptables import sentences

# Only single characters are repeated possessively: Python 3.11.2 mismatches possessive groups (cpython issue
# 106052), and 3.11.7 still raises SystemError when one holds a capturing group.
QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*"'

_WORD = rf'(?:({QUOTED})(?=[ \t\r]|\Z)|([^" \t\r][^ \t\r]*+))'
_SAVED_WORD = re.compile(_WORD, re.DOTALL)
_SAVED_LINE = re.compile(rf"[ \t\r]*+(?:{_WORD}[ \t\r]*+)*", re.DOTALL)
_RESTORED_WORD = re.compile(rf'(?P<bare>[^" \t\r]*+)(?P<quoted>{QUOTED})?', re.DOTALL)
_SIMPLY_QUOTED = re.compile(r'"[^"\\]*+"')
_BLANKS = re.compile(r"[ \t\r]*+")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_NO_QUOTES = re.compile(r"[^ \t\r\n\\\'\"!-][^ \t\r\n\\\']*+|--?[a-z0-9-]++")
_SURROGATES = re.compile("[\ud800-\udfff]+")


class Quoted(str):
    """A word that was in quotes: always a value, even if it looks like an option."""

    __slots__ = ()


class TokenError(ValueError):
    """A line that cannot be split into words; `offset` counts from 0."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


def split_tokens(line: str) -> tuple[str, ...]:
    """Split a line of iptables-save into words, without their quotes and escapes.

    Raises TokenError if a quote is not closed or not followed by a blank.
    """
    if "\t" not in line and "\r" not in line:
        words = [word for word in line.split(" ") if word]
        if '"' not in line:
            return tuple(words)
        # Most lines have quotes only around single words, such as the comment with the id of a rule.
        if all(word[0] != '"' or _SIMPLY_QUOTED.fullmatch(word) for word in words):
            return tuple([Quoted(word[1:-1]) if word[0] == '"' else word for word in words])
    if _SAVED_LINE.fullmatch(line) is None:
        locate_tokens(line)
    return tuple([bare or _unquote(quoted) for quoted, bare in _SAVED_WORD.findall(line)])


def locate_tokens(line: str) -> list[tuple[int, str]]:
    """Split like split_tokens, and return the offset of each word too."""
    words: list[tuple[int, str]] = []
    position = _skip_blanks(line, 0)
    while position < len(line):
        word = _SAVED_WORD.match(line, position)
        if word is None:
            raise _quote_error(line, position)
        quoted, bare = word.groups()
        words.append((position, bare or _unquote(quoted)))
        position = _skip_blanks(line, word.end())
    return words


def locate_restore_tokens(line: str, start: int = 0) -> list[tuple[int, str]]:
    """Split the line from `start` on as iptables-restore does, with offsets. Raises TokenError."""
    words: list[tuple[int, str]] = []
    position = _skip_blanks(line, start)
    while position < len(line):
        word = _RESTORED_WORD.match(line, position)
        if word is None or word.end() == position or line[word.end() : word.end() + 1] == '"':
            raise _quote_error(line, line.index('"', position))
        bare, quoted = word["bare"], word["quoted"]
        if quoted is None:
            words.append((position, bare))
        else:
            text = _unquote(quoted)
            words.append((position, bare + text if bare else text))
        position = _skip_blanks(line, word.end())
    return words


def join_tokens(words: Iterable[str]) -> str:
    """Join words to one line that split_tokens reads back, with quotes only where needed."""
    return " ".join(_quote_if_needed(word) for word in words)


def printable(text: str) -> str:
    """Replace bytes that were not UTF-8 (surrogates from the parser), so that the text can be encoded."""
    return _SURROGATES.sub("\ufffd", text)


def _quote_if_needed(word: str) -> str:
    if isinstance(word, Quoted):
        needed = word in {"", "!"} or word[0] in '-"'
    elif word == "!" or _NEEDS_NO_QUOTES.fullmatch(word):
        return word
    else:
        needed = not word or word[0] == '"'
    if needed or any(character in " \t\r\n\\'" for character in word):
        escaped = re.sub(r"([\"\\'])", r"\\\1", word)
        return f'"{escaped}"'
    return word


def _skip_blanks(line: str, position: int) -> int:
    blanks = _BLANKS.match(line, position)
    return blanks.end() if blanks else position


def _unquote(quoted: str) -> Quoted:
    return Quoted(_ESCAPE.sub(r"\1", quoted[1:-1]))


def _quote_error(line: str, position: int) -> TokenError:
    closed = re.compile(QUOTED, re.DOTALL).match(line, position)
    if closed is None:
        return TokenError(position, sentences.QUOTE_NOT_CLOSED)
    return TokenError(closed.end(), sentences.BLANK_AFTER_QUOTE)
