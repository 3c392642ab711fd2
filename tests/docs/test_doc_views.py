"""The documentation in the dashboard: every page, its links, its images and its search."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from rules.docs.doc_search_selectors import search_docs
from rules.docs.doc_selectors import doc_pages, docs_folder
from tests.rig.page_content import Page, all_pages
from tests.rig.web_pages import assert_access, has_no_inline_code, text_of

NAMES = [page.name for page in doc_pages()]


def test_who_may_read_it(signed_in: Client) -> None:
    for path in ("/docs/", "/docs/everyday/", "/docs/screenshots/dashboard-desktop-light.png"):
        assert_access(path, signed_in)


def test_each_file_is_a_page_and_its_anchors_are_those_of_a_forge() -> None:
    of_files = {page.path: page.anchors for page in all_pages() if docs_folder() in page.path.parents}
    assert len(NAMES) == len(of_files)
    assert NAMES[:2] == ["", "install"]
    for page in doc_pages():
        name = page.name or "README"
        path = docs_folder() / f"{name}.md"
        path = path if path.exists() else docs_folder() / name / "README.md"
        assert {each.anchor for each in page.rendered.sections} == of_files[path], page.name


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name or "index")
def test_a_page_is_complete_and_its_links_lead_somewhere(signed_in: Client, name: str) -> None:
    response = signed_in.get(f"/docs/{name}/" if name else "/docs/")
    assert response.status_code == 200
    assert has_no_inline_code(response)
    html = response.content.decode()
    assert len(html) < 100_000
    article = html[html.index("<article") : html.index("</article>")]
    anchors = {each.name: {section.anchor for section in each.rendered.sections} for each in doc_pages()}
    for link in re.findall(r'(?:href|src)="([^"]+)"', article):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        found = signed_in.get(path) if path else response
        assert found.status_code == 200, link
        if anchor:
            target = path.removeprefix("/docs/").strip("/") if path else name
            assert anchor in anchors[target], link


def test_what_is_not_served_is_not_found(signed_in: Client) -> None:
    for path in (
        "/docs/nothing/",
        "/docs/../manage/",
        "/docs/README/",
        "/docs/screenshots/nothing.png",
        "/docs/screenshots/../../rules/x.png",
        "/docs/data/engines.json",
    ):
        assert signed_in.get(path).status_code == 404, path


def test_a_search_leads_to_the_section(signed_in: Client) -> None:
    response = signed_in.get("/docs/", {"q": "locked out"})
    assert has_no_inline_code(response)
    html = response.content.decode()
    results = re.findall(r'<li><a href="(/docs/[^"]+)">', html[html.index("doc-found") :])
    assert results[0] == "/docs/troubleshooting/#locked-out"
    assert "<mark>Locked</mark>" in html
    assert "sections" in text_of(response)


def test_a_search_without_a_hit_says_so(signed_in: Client) -> None:
    response = signed_in.get("/docs/", {"q": '<b>"xyzzy'})
    assert "No page of the documentation has" in text_of(response)
    assert "<b>&quot;" not in response.content.decode()
    assert "&lt;b&gt;&quot;xyzzy" in response.content.decode()


def test_words_are_found_from_their_beginning_and_every_one_counts() -> None:
    found, total = search_docs("dockerfw_port", most=50)
    assert total == len(found) > 0
    assert all("dockerfw_port" in f"{each.section.title} {each.section.text}".casefold() for each in found)
    assert search_docs("dockerfw_port xyzzy", most=5) == ((), 0)
    # "out" is no part of "about".
    marked = [piece for each in search_docs("out", most=5)[0] for piece in each.snippet if piece.hit]
    assert {piece.text.casefold() for piece in marked} == {"out"}
    assert search_docs("", most=5) == ((), 0)
    assert search_docs("*", most=1)[1] >= 0


def test_a_snippet_has_the_hit_and_stays_short() -> None:
    for each in search_docs("redis", most=30)[0]:
        text = "".join(piece.text for piece in each.snippet)
        assert len(text) < 300
        shown = [*each.snippet, *each.title]
        assert any(piece.hit for piece in shown) or "redis" in each.page.title.casefold()


def test_the_index_links_every_page_of_the_folder() -> None:
    index = Page(docs_folder() / "README.md")
    linked = [name for name in NAMES if name and f"({name}.md)" in index.text]
    assert NAMES[1 : len(linked) + 1] == linked
