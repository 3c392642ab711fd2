"""The documentation in the dashboard: its index, its search, its pages and their images."""

from __future__ import annotations

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from rules.docs.doc_search_selectors import search_docs
from rules.docs.doc_selectors import doc_image, doc_page, doc_pages
from rules.pages.frame import render_page
from rules.pages.requests import text_asked

MOST_FOUND = 30


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show the index of the documentation; `q` searches all pages instead."""
    query = text_asked(request, "q")
    found, total = search_docs(query, most=MOST_FOUND)
    context = {"doc": doc_page(""), "pages": doc_pages()[1:], "query": query, "found": found, "total": total}
    return render_page(request, "docs/doc.html", None, context, section="docs")


@require_safe
def page(request: HttpRequest, name: str) -> HttpResponse:
    """Show one page of the documentation."""
    doc = doc_page(name)
    if doc is None or not name:
        raise Http404(f"no page {name} in the documentation")
    return render_page(request, "docs/doc.html", None, {"doc": doc, "query": ""}, section="docs")


@require_safe
def image(request: HttpRequest, path: str) -> FileResponse:
    """Send an image of the documentation."""
    file = doc_image(path)
    if file is None:
        raise Http404(f"no image {path} in the documentation")
    response = FileResponse(file.open("rb"), content_type="image/png")
    response["Cache-Control"] = "private, max-age=3600"
    return response
