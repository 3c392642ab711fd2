"""The search: a page of its own, and the results for the palette as one types."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rules.pages.frame import render_page
from rules.pages.requests import HtmxRequest, host_or_404, text_asked
from rules.search.search_selectors import search


@require_safe
def search_page(request: HtmxRequest, host_name: str) -> HttpResponse:
    """Show what `q` finds on a host; htmx gets the results alone."""
    host = host_or_404(host_name)
    query = text_asked(request, "q")
    kinds = search(host, query)
    context = {"kinds": kinds, "query": query, "total": sum(len(kind.results) for kind in kinds)}
    if request.htmx:
        response = render(request, "search/options.html", context)
        response["Cache-Control"] = "no-store"
        return response
    return render_page(request, "search/search.html", host, context, section="search")
