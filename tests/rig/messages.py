"""Every sentence that the product can say, read from its sources, with `…` for what is filled in.

Sources are string literals of Python, texts of templates, strings of scripts for the browser, and lines of
shell. A sentence that the product puts together from several literals is found by one of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILLED_IN = "…"
# Elements that stand inside a sentence; all others end one.
_INLINE = "a|abbr|b|code|em|i|small|span|strong|time"


@cache
def product_messages() -> tuple[str, ...]:
    """Return all sentences of the product."""
    return tuple(_all(ROOT))


def is_said(quote: str, messages: Iterable[str]) -> bool:
    """Return True if a sentence is one of the messages or part of one; `…` in it stands for anything."""
    pieces = [re.escape(piece.strip()) for piece in quote.split(FILLED_IN) if piece.strip()]
    if not any(piece.count("\\ ") >= 2 for piece in pieces):
        return False
    wanted = re.compile(".*?".join(pieces))
    return any(wanted.search(message) for message in messages)


def _all(root: Path) -> Iterator[str]:
    for folder in ("dockerfw", "rules", "scripts", "dockerfw_site"):
        for file in sorted((root / folder).rglob("*.py")):
            yield from python_messages(file.read_text(encoding="utf-8"))
        for file in sorted((root / folder).rglob("*.js")):
            yield from re.findall(r'"([^"\n]*)"', file.read_text(encoding="utf-8"))
    for file in sorted((root / "templates").rglob("*.html")):
        yield from template_messages(file.read_text(encoding="utf-8"))
    for place in (root / "scripts", root / "deploy"):
        for file in sorted(place.rglob("*")):
            if file.is_file() and file.suffix in {"", ".sh", ".service"}:
                yield from file.read_text(encoding="utf-8").splitlines()


def python_messages(source: str) -> Iterator[str]:
    """Yield each string literal; of f-strings what is filled in is `…`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else FILLED_IN for each in node.values]
            yield _even("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _even(re.sub(r"%(?:\(\w+\))?[sd]", FILLED_IN, node.value))


def template_messages(source: str) -> Iterator[str]:
    """Yield the texts of a template; tags and variables of Django's are `…`."""
    filled = re.sub(r"{#.*?#}", "", source, flags=re.DOTALL)
    filled = re.sub(r"{%.*?%}|{{.*?}}", FILLED_IN, filled, flags=re.DOTALL)
    inline = re.sub(rf"</?(?:{_INLINE})(?:\s[^>]*)?>", "", filled)
    yield from filter(None, map(_even, re.split(r"<[^>]*>", inline)))


def _even(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
