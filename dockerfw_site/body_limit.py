"""Refuse a request body that is too long before any of it is parsed; before sign-in the limit is small.

The web worker refuses most of them earlier (incoming.py), but it cannot check whose session a cookie names.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from dockerfw_site.incoming import MOST_ANONYMOUS_BYTES, MOST_BODY_BYTES

CONTENT_TOO_LARGE = 413


class BodyLimitMiddleware:
    """Answer 413 to a body that is too long for the one who sends it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = _length_of(request)
        # Only a body that a client without a session may not send costs a look at the session.
        if length <= MOST_ANONYMOUS_BYTES or (length <= MOST_BODY_BYTES and request.user.is_authenticated):
            return self.get_response(request)
        return HttpResponse(render_to_string("413.html"), status=CONTENT_TOO_LARGE)


def _length_of(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
