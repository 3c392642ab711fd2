"""Make the characters of a page visible that a reader cannot see, whichever text they come from.

Texts that people type are refused with such characters. Those from earlier releases, from Docker and from the
kernel are shown with escapes such as \\u202e, as on a terminal and in a log. What a form sends back stays as
it is: an escape in a field would change the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from dockerfw.plain_text import is_hidden, make_visible

# Line ends and tabs are part of HTML.
_KEPT = "\t\n\r"
# The bytes of no other character contain any of these.
_PLAIN = bytes((*_KEPT.encode(), *range(ord(" "), ord("~") + 1)))
# Texts of other people cannot look like these: their quotes and brackets are escaped.
_FORM_VALUE = re.compile(r'( value="[^"]*"|<textarea[^>]*>[^<]*</textarea>)')


class VisibleTextMiddleware:
    """Escapes them in every HTML answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request with a page in which every character can be seen."""
        response = self.get_response(request)
        content = getattr(response, "content", None)
        if content is None or not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        # Of a long page hardly anything is left, and that has few different characters.
        unusual = content.translate(None, _PLAIN).decode(response.charset, "surrogatepass")
        if any(map(is_hidden, set(unusual))):
            page = content.decode(response.charset, "surrogatepass")
            response.content = "".join(_visible_parts(page))  # type: ignore[attr-defined]
        return response


def _visible_parts(page: str) -> Iterator[str]:
    # The text of the pattern's group comes at the odd places.
    for place, part in enumerate(_FORM_VALUE.split(page)):
        yield part if place % 2 else make_visible(part, keep=_KEPT)
