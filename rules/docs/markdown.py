"""Markdown of the documentation as HTML: headings with anchors, links rewritten, and sections to search.

HTML inside the Markdown is not allowed, so it appears as text. No tag has a style, as the pages' policy asks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

# The address that a link or an image of the file becomes; None for what is not served.
Address = Callable[[str], str | None]
_SCROLLS: Final = 'tabindex="0" role="group"'
# On a phone the rows of a table are drawn one below the other, so the roles are written out.
_ROLES: Final = {
    "thead_open": "rowgroup",
    "tbody_open": "rowgroup",
    "tr_open": "row",
    "th_open": "columnheader",
    "td_open": "cell",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with the text up to the next one. `anchor` is what follows `#` in an address."""

    level: int
    anchor: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """One page. The first section has the page's title, whose heading `html` leaves out."""

    html: SafeString
    sections: tuple[Section, ...]


def render(text: str, *, address: Address) -> Rendered:
    """Render a page that begins with its title, with every link and image led through `address`."""
    tokens = _parser.parse(text)
    sections = tuple(_sections(tokens))
    anchors = iter(section.anchor for section in sections)
    for token in tokens:
        if token.type == "heading_open":
            token.attrSet("id", next(anchors))
        elif token.type in _ROLES:
            _align(token)
            token.attrSet("role", _ROLES[token.type])
        _rewrite(token.children or (), address)
    # The page draws its title itself: opening, text, end.
    html = _parser.renderer.render(tokens[3:], _parser.options, {})
    return Rendered(mark_safe(html), sections)  # noqa: S308  # HTML of the Markdown is escaped


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading, as forges make it: small letters, hyphens, no other signs."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _sections(tokens: Sequence[Token]) -> Iterator[Section]:
    seen: Counter[str] = Counter()
    level, anchor, title, texts = 0, "", "", [""]
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            if level:
                yield Section(level, anchor, title, _joined(texts))
            heading = tokens[index + 1]
            plain = anchor_of(heading.content)
            level, title, texts = int(token.tag[1]), _words(heading), []
            anchor = f"{plain}-{seen[plain]}" if seen[plain] else plain
            seen[plain] += 1
        elif token.type == "inline" and tokens[index - 1].type != "heading_open":
            texts.append(_words(token))
        elif token.type in ("fence", "code_block"):
            texts.append(token.content)
    if level:
        yield Section(level, anchor, title, _joined(texts))


def _joined(texts: Sequence[str]) -> str:
    return " ".join(" ".join(texts).split())


def _words(inline: Token) -> str:
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content for child in inline.children or ()
    )


def _align(token: Token) -> None:
    """Turn the style of an aligned column into a class."""
    if "right" in str(token.attrs.pop("style", "")):
        token.attrSet("class", "number")


def _rewrite(children: Sequence[Token], address: Address) -> None:
    """Lead links and images through `address`; a link that leads nowhere becomes its words."""
    ends: list[bool] = []
    for child in children:
        if child.type == "link_open":
            target = address(str(child.attrGet("href")))
            ends.append(target is not None)
            if target is None:
                child.tag, child.attrs = "span", {}
            else:
                child.attrSet("href", target)
        elif child.type == "link_close" and not ends.pop():
            child.tag = "span"
        elif child.type == "image":
            child.attrSet("src", address(str(child.attrGet("src"))) or "")
            child.attrSet("loading", "lazy")


def _draw_code(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
    return f'<pre {_SCROLLS} aria-label="Code">{escape(tokens[index].content)}</pre>\n'


def _open_table(*_: Any) -> str:
    return f'<div class="scroll" {_SCROLLS} aria-label="Table"><table role="table">\n'


def _close_table(*_: Any) -> str:
    return "</table></div>\n"


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    for name in ("fence", "code_block"):
        parser.add_render_rule(name, _draw_code)
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    return parser


_parser: Final = _make_parser()
