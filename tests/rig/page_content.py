"""The documentation read as Markdown: headings with their anchors, links, tables, commands in blocks.

Only the Markdown that these pages use is supported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT)) if self.path.is_relative_to(ROOT) else self.path.name

    @cached_property
    def text(self) -> str:
        """Return all of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """Return it without fenced and indented blocks, which hold no Markdown."""
        unfenced = re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)
        return re.sub(r"^ {4}.*$", "", unfenced, flags=re.MULTILINE)

    @cached_property
    def anchors(self) -> set[str]:
        """Return what `#…` may follow the page's name, as forges make it from headings."""
        made: set[str] = set()
        for heading in re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE):
            words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            again = 0
            while (f"{words}-{again}" if again else words) in made:
                again += 1
            made.add(f"{words}-{again}" if again else words)
        return made

    @cached_property
    def links(self) -> list[str]:
        """Return where links and images lead, within these files and outside."""
        prose = re.sub(r"`[^`]*`", "", self.prose)
        return re.findall(r"\]\(([^)\s]+)\)", prose)

    @cached_property
    def images(self) -> list[str]:
        """Return where images lie."""
        return re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", self.prose)

    def section(self, title: str) -> str:
        """Return what stands below a heading, up to the next one that is not below it."""
        # A comment in a fenced block may begin as a heading does.
        masked = re.sub(
            r"^```.*?^```$", lambda block: " " * len(block[0]), self.text, flags=re.MULTILINE | re.DOTALL
        )
        heading = re.search(rf"^(#+) {re.escape(title)}\n", masked, re.MULTILINE)
        assert heading, f"{self} has no part {title!r}"
        end = re.compile(rf"^#{{1,{len(heading[1])}}} ", re.MULTILINE).search(masked, heading.end())
        return self.text[heading.end() : end.start() if end else None]

    @cached_property
    def commands(self) -> list[str]:
        """Return the lines of fenced and indented blocks, without a prompt; those cut by \\ are joined."""
        fenced = re.findall(r"^```.*?\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        indented = re.findall(r"^ {4}(.+)$", re.sub(r"^```.*?^```$", "", self.text, flags=re.M | re.S), re.M)
        lines = re.sub(r"\\\n\s*", " ", "\n".join([*fenced, *indented])).splitlines()
        return [line.strip().removeprefix("$ ").removeprefix("# ") for line in lines if line.strip()]

    @cached_property
    def spans(self) -> list[str]:
        """Return what stands in `code` within the prose, lines joined."""
        return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", self.prose)]

    @cached_property
    def quotes(self) -> list[str]:
        """Return each sentence that the page quotes of the product: a block quote, lines joined."""
        blocks = re.findall(r"(?:^> .*\n?)+", self.prose, re.MULTILINE)
        return [
            re.sub(r"\s+", " ", re.sub(r"^> ", "", block, flags=re.MULTILINE)).strip() for block in blocks
        ]

    def leads_to(self, link: str) -> tuple[Path, str]:
        """Return the file that a link within these files means, and its anchor."""
        name, _, anchor = link.partition("#")
        return (self.path.parent / name).resolve() if name else self.path, anchor


def all_pages() -> list[Page]:
    """Return the pages in the root folder and every page of docs/."""
    return [*map(Page, sorted(ROOT.glob("*.md"))), *map(Page, sorted(DOCS.rglob("*.md")))]


def dead_links(page: Page) -> list[str]:
    """Return the links of a page that lead to no file, or to no heading of one."""
    dead = []
    for link in page.links:
        if "://" in link or link.startswith("mailto:"):
            continue
        path, anchor = page.leads_to(link)
        if not path.exists() or (anchor and (path.suffix != ".md" or anchor not in Page(path).anchors)):
            dead.append(link)
    return dead


def reached_from(index: Page) -> set[Path]:
    """Return every page that links lead to, from one page on."""
    found: set[Path] = set()
    ahead = [index]
    while ahead:
        page = ahead.pop()
        found.add(page.path)
        paths = {page.leads_to(link)[0] for link in page.links if "://" not in link}
        ahead += [Page(path) for path in paths - found if path.suffix == ".md" and path.exists()]
    return found


def table_rows(text: str) -> dict[str, str]:
    """Return the rows of the tables in a text, each by every `code` of its first cell.

    Of a code such as `--window SECONDS` only the first word counts.
    """
    rows: dict[str, str] = {}
    for line in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        first = line.strip("|").split("|")[0]
        rows |= {span.split()[0]: line for span in re.findall(r"`([^`]+)`", first)}
    return rows
