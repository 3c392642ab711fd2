"""Read the documentation: its pages, each rendered once in this process, and the images in them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from django.conf import settings
from django.urls import reverse

from rules.docs.markdown import Rendered, Section, render

# README.md of the documentation, and of a folder in it.
INDEX = "README.md"


@dataclass(frozen=True, slots=True)
class DocPage:
    """One page. `name` is its part of the address, empty for the index."""

    name: str
    title: str
    rendered: Rendered

    @property
    def url(self) -> str:
        """The address of the page."""
        return doc_url(self.name)

    @property
    def contents(self) -> tuple[Section, ...]:
        """The headings below the title, for the table of contents."""
        return tuple(each for each in self.rendered.sections[1:] if each.level <= 3)


def doc_url(name: str, anchor: str = "") -> str:
    """Return the address of a page, or of a section in it."""
    url = reverse("rules:doc-page", args=[name]) if name else reverse("rules:docs")
    return f"{url}#{anchor}" if anchor else url


def doc_page(name: str) -> DocPage | None:
    """Return a page by its name, None when there is none."""
    return _page(name) if name in _files() else None


@cache
def doc_pages() -> tuple[DocPage, ...]:
    """Return every page: the index, then the others in the order in which it links them."""
    index = _files()[""].read_text(encoding="utf-8")
    names = sorted(_files(), key=lambda name: (bool(name), _place(index, name), name))
    return tuple(_page(name) for name in names)


def doc_image(path: str) -> Path | None:
    """Return the file of an image in the documentation, None when there is none."""
    return _images().get(path)


def _place(index: str, name: str) -> int:
    place = index.find(f"({_path_of(name)})")
    return place if place >= 0 else len(index)


@cache
def _page(name: str) -> DocPage:
    path = _path_of(name)
    text = _files()[name].read_text(encoding="utf-8")
    rendered = render(text, address=partial(_address, posixpath.dirname(path)))
    return DocPage(name, rendered.sections[0].title, rendered)


def _address(folder: str, link: str) -> str | None:
    """Return where a link of a page in `folder` leads: another page, an image, its own section, elsewhere."""
    if "://" in link or link.startswith(("mailto:", "#")):
        return link
    path, _, anchor = link.partition("#")
    path = posixpath.normpath(posixpath.join(folder, path))
    if path in _images():
        return reverse("rules:doc-image", args=[path])
    name = _name_of(path)
    return doc_url(name, anchor) if path.endswith(".md") and name in _files() else None


@cache
def _files() -> dict[str, Path]:
    root = docs_folder()
    return {_name_of(path.relative_to(root).as_posix()): path for path in sorted(root.rglob("*.md"))}


@cache
def _images() -> dict[str, Path]:
    root = docs_folder()
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.png"))}


def docs_folder() -> Path:
    """Return the folder of the documentation, beside the code in every way of installing dockerfw."""
    return Path(settings.BASE_DIR) / "docs"


def _name_of(path: str) -> str:
    """Return the name of the page in a file: `everyday`, `decisions` for decisions/README.md."""
    name = path.removesuffix(INDEX) if path.endswith(INDEX) else path.removesuffix(".md")
    return name.rstrip("/")


def _path_of(name: str) -> str:
    """Return the file of a page, from the folder of the documentation."""
    file = posixpath.join(name, INDEX)
    return file if not name or (docs_folder() / file).exists() else f"{name}.md"
