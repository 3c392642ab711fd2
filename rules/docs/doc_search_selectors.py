"""Search the documentation: sections whose title or text has every word, with the place of the hit.

The sections of all pages are read once in this process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from rules.docs.doc_selectors import DocPage, doc_pages, doc_url
from rules.docs.markdown import Section

MOST_WORDS: Final = 8
_BEFORE: Final = 70
_AFTER: Final = 150


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a snippet; `hit` is true for a word that was searched."""

    text: str
    hit: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A section that has every word."""

    page: DocPage
    section: Section
    url: str
    title: tuple[Piece, ...]
    snippet: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A section as it is searched: its titles and all of its words, in one case."""

    page: DocPage
    section: Section
    title: str
    words: str


def search_docs(query: str, *, most: int) -> tuple[tuple[Found, ...], int]:
    """Return the best `most` sections that have every word of a search, and how many have."""
    words = query.casefold().split()[:MOST_WORDS]
    if not words:
        return (), 0
    tests = [re.compile(_begins(word)) for word in words]
    phrase = " ".join(words)
    matching = [entry for entry in _entries() if all(test.search(entry.words) for test in tests)]

    def rank(entry: _Entry) -> tuple[bool, bool, bool]:
        return (
            not all(test.search(entry.title) for test in tests),
            not any(test.search(entry.title) for test in tests),
            phrase not in entry.words,
        )

    # Equals stay in the order of the documentation.
    best = sorted(matching, key=rank)[:most]
    return tuple(_found(entry, words) for entry in best), len(matching)


@cache
def _entries() -> tuple[_Entry, ...]:
    # The index has nothing of its own.
    return tuple(
        _Entry(
            page,
            section,
            section.title.casefold(),
            f"{page.title} {section.title} {section.text}".casefold(),
        )
        for page in doc_pages()
        if page.name
        for section in page.rendered.sections
    )


def _found(entry: _Entry, words: list[str]) -> Found:
    longest_first = sorted(words, key=len, reverse=True)
    marks = re.compile("|".join(map(_begins, longest_first)), re.IGNORECASE)
    anchor = "" if entry.section.level == 1 else entry.section.anchor
    return Found(
        entry.page,
        entry.section,
        doc_url(entry.page.name, anchor),
        _pieces(entry.section.title, marks),
        _pieces(_excerpt(entry.section.text, " ".join(words), marks), marks),
    )


def _begins(word: str) -> str:
    """Return the pattern of a word, or of the beginning of one; signs may stand anywhere."""
    return rf"(?<!\w){re.escape(word)}" if word[0].isalnum() else re.escape(word)


def _excerpt(text: str, phrase: str, marks: re.Pattern[str]) -> str:
    """Return the text around the first hit of all words together, else of one of them, cut between words."""
    hit = re.search(re.escape(phrase), text, re.IGNORECASE) or marks.search(text)
    place = hit.start() if hit else 0
    start = text.find(" ", max(0, place - _BEFORE)) + 1 if place > _BEFORE else 0
    end = text.rfind(" ", place, place + _AFTER) if len(text) > place + _AFTER else len(text)
    end = end if end > place else place + _AFTER
    return f"{'… ' if start else ''}{text[min(start, place) : end]}{' …' if end < len(text) else ''}"


def _pieces(text: str, marks: re.Pattern[str]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    at = 0
    for hit in marks.finditer(text):
        pieces += (Piece(text[at : hit.start()], hit=False), Piece(hit[0], hit=True))
        at = hit.end()
    pieces.append(Piece(text[at:], hit=False))
    return tuple(piece for piece in pieces if piece.text)
