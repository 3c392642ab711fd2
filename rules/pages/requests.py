"""Read a request: the host in the address, texts, numbers, and the details of htmx."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from rules.models import Host
from rules.pages.host_selectors import host_get


class HtmxRequest(HttpRequest):
    """A request as django-htmx's middleware hands it on; `htmx` is true when htmx asks for a piece."""

    htmx: HtmxDetails


def host_or_404(host_name: str) -> Host:
    """Return the host of an address; 404 when there is none of that name."""
    host = host_get(host_name)
    if host is None:
        raise Http404(f"no host {host_name}")
    return host


def text_asked(request: HttpRequest, name: str) -> str:
    """Return a text of the address, without blanks around it and what no database stores, cut to 200."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:200]


def back_asked(request: HttpRequest, default: str) -> str:
    """Return the address to which a form or link leads back, with its search and page; else the default.

    A query alone, such as `?q=ssh&page=2`, is one of the default address.
    """
    back = (request.POST.get("back") or request.GET.get("back", ""))[:2000]
    if back.startswith("?"):
        return default + back
    return back if url_has_allowed_host_and_scheme(back, allowed_hosts=None) else default


def whole_number(text: str | None, default: int = 0) -> int:
    """Read a number that a form or an address carries; what is none, or absurdly long, is the default."""
    if text is not None and text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return default
