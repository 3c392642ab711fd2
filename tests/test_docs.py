"""What docs/ says is true: every setting and script is told, links lead somewhere, each page is reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import DOCS, ROOT, Page, all_pages, dead_links, reached_from

REFERENCE = Page(DOCS / "reference.md")


def test_every_setting_is_in_the_table_and_no_other() -> None:
    source = (ROOT / "dockerfw_site" / "environment.py").read_text(encoding="utf-8")
    known = set(re.findall(r'"(DOCKERFW_[A-Z_]+|DATABASE_URL)"', source))
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", REFERENCE.section("Settings"), re.MULTILINE))
    assert len(known) > 10
    assert table == known


def test_every_script_is_in_the_table() -> None:
    table = set(re.findall(r"^\| `scripts/([a-z]+)", REFERENCE.section("The scripts"), re.MULTILINE))
    scripts = {file.name for file in (ROOT / "scripts").iterdir() if file.is_file() and file.suffix == ""}
    assert table == scripts


@pytest.mark.parametrize("page", all_pages(), ids=str)
def test_links_lead_somewhere(page: Page) -> None:
    assert dead_links(page) == []


def test_each_page_is_reached_from_the_index() -> None:
    assert set(DOCS.glob("*.md")) - reached_from(Page(DOCS / "README.md")) == set()


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# What *is* there, `x`\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md#what-is-there-x) [b](other.md#twice-1) [c](#here) [d](https://example.org/none)\n"
        "[e](gone.md) [f](other.md#gone) ![g](gone.png) [h](#gone) `[i](no-link.md)`\n\n    [j](no-link.md)\n"
    )
    assert dead_links(Page(page)) == ["gone.md", "other.md#gone", "gone.png", "#gone"]
    assert reached_from(Page(page)) == {page, tmp_path / "other.md"}
