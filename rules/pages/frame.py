"""What all pages share: finding the host, the pending count on every page, and answering htmx.

Must not write; a view that writes calls a service itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from dockerfw.version import VERSION
from rules.applying.apply_selectors import unfinished_view
from rules.draft.draft_selectors import host_default, host_get, pending_diff
from rules.models import Host
from rules.pages.host_selectors import many_hosts


def host_or_404(host_name: str) -> Host:
    """Return the host of an address; 404 when there is none of that name."""
    host = host_get(host_name)
    if host is None:
        raise Http404(f"no host {host_name}")
    return host


def page_context(host: Host | None, *, section: str) -> dict[str, Any]:
    """Return what the frame of a page shows; without a host, that of the default one."""
    host = host or host_default()
    unfinished = unfinished_view(host)
    waiting = unfinished if unfinished is not None and unfinished.window is not None else None
    return {
        "version": VERSION,
        "host": host,
        "many_hosts": many_hosts(),
        "section": section,
        "pending": pending_diff(host).count,
        "unfinished": unfinished is not None,
        "open_apply": waiting.apply if waiting else None,
        "open_window": waiting.window if waiting else None,
    }


def render_page(
    request: HttpRequest,
    template: str,
    host: Host | None,
    context: Mapping[str, Any],
    *,
    section: str,
    status: int = 200,
) -> HttpResponse:
    """Render a whole page in its frame; pages are never stored by the browser."""
    response = render(request, template, {**page_context(host, section=section), **context}, status=status)
    response["Cache-Control"] = "no-store"
    return response


def render_pieces(request: HttpRequest, host: Host, *, section: str, more: tuple[str, ...] = ()) -> str:
    """Render the pieces of the frame that an edit changes, and `more`, for htmx to put in their places."""
    context = {**page_context(host, section=section), "swap": True}
    return "".join(
        render_to_string(f"rules/partials/{name}.html", context, request)
        for name in ("pending_count", "banner", "messages", *more)
    )


def is_htmx(request: HttpRequest) -> bool:
    """Say whether htmx asks for a piece, not the browser for a page."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"


def text_asked(request: HttpRequest, name: str) -> str:
    """Return a text of the address, without blanks around it and what no database stores, cut to 200."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:200]


def whole_number(text: str | None, default: int = 0) -> int:
    """Read a number that a form or an address carries; what is none, or absurdly long, is the default."""
    if text is not None and text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return default
