"""No page, message, help text or documentation uses a word that docs/words.md puts in italics."""

from __future__ import annotations

import re

import pytest

from tests.rig.messages import product_messages
from tests.rig.page_content import DOCS, ROOT, Page, all_pages

# The table itself names the words, and a changelog may quote what an earlier release said.
EXEMPT = {DOCS / "words.md", ROOT / "CHANGELOG.md"}


def banned_words() -> list[str]:
    """Return the words in italics in the last column of the table."""
    rows = re.findall(r"^\|.*\|$", Page(DOCS / "words.md").text, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"\*([^*]+)\*", row.strip("| ").rpartition("|")[2])]


def used(word: str, texts: list[str]) -> list[str]:
    """Return the texts that use a word, whatever its case."""
    pattern = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    return [text for text in texts if pattern.search(text)]


def sentences() -> list[str]:
    """Return the product's texts that are sentences: a docstring or a name of code is none."""
    return [text for text in product_messages() if " " in text]


def test_the_table_bans_some_words() -> None:
    assert {"stranger", "doubt"} <= set(banned_words())
    assert used("doubt", ["No doubt.", "Doubts"]) == ["No doubt."]


@pytest.mark.parametrize("word", banned_words())
def test_the_product_does_not_say(word: str) -> None:
    assert used(word, sentences()) == []


@pytest.mark.parametrize("word", banned_words())
def test_the_documentation_does_not_say(word: str) -> None:
    pages = [page for page in all_pages() if page.path not in EXEMPT]
    assert [(str(page), line) for page in pages for line in used(word, page.text.splitlines())] == []
