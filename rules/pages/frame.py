"""The frame of every page, and the pieces of it that htmx swaps after an edit.

The frame shows facts of folders above this one (pending changes, an open window). Those folders register a
function here when the app starts, so that this one imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from dockerfw.version import VERSION
from rules.models import Host
from rules.pages.host_selectors import host_default, hosts_to_switch

FrameFacts = Callable[[Host], Mapping[str, Any]]

_facts: list[FrameFacts] = []


def register_frame_facts(*facts: FrameFacts) -> None:
    """Add functions whose facts about the page's host go into the context of every page."""
    _facts.extend(each for each in facts if each not in _facts)


def page_context(host: Host | None, *, section: str) -> dict[str, Any]:
    """Return the context of a page's frame; without a host, of the default host."""
    host = host or host_default()
    hosts = hosts_to_switch()
    context: dict[str, Any] = {
        "version": VERSION,
        "host": host,
        "hosts": hosts,
        "many_hosts": len(hosts) > 1,
        "section": section,
    }
    for facts in _facts:
        context.update(facts(host))
    return context


def render_page(
    request: HttpRequest,
    template: str,
    host: Host | None,
    context: Mapping[str, Any],
    *,
    section: str,
    status: int = 200,
) -> HttpResponse:
    """Render a page in its frame; browsers must not store pages."""
    response = render(request, template, {**page_context(host, section=section), **context}, status=status)
    response["Cache-Control"] = "no-store"
    return response


def render_pieces(request: HttpRequest, host: Host, *, section: str, more: tuple[str, ...] = ()) -> str:
    """Render the pieces of the frame that an edit changes, and the templates `more`, for htmx to swap."""
    context = {**page_context(host, section=section), "swap": True}
    return "".join(
        render_to_string(f"{name}.html", context, request)
        for name in ("pages/pending_count", "pages/pending_button", "pages/messages", *more)
    )
