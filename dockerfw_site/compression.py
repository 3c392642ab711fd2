"""Compress static files, and answers in which no secret stands beside text that an attacker chose.

The length of a compressed answer tells which of its texts are alike. An attacker who chooses one text
and sees the length of many answers finds a secret beside it (BREACH). CSRF tokens are masked
anew in each answer.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

# Pages with a one-time secret, and the log that shows what anyone typed at the sign-in.
NEVER: Final = frozenset(
    ("setup", "sign-in", "password", "audit", "audit-csv", "apply", "apply-status", "apply-nonce")
)
TYPES: Final = ("text/", "application/json", "application/javascript", "image/svg+xml")


class CompressionMiddleware(GZipMiddleware):
    """Django's compression, which also varies the length at random, for fewer answers."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Compress the answer if it may be compressed and the browser understands it."""
        if not may_be_compressed(request, response):
            return response
        return super().process_response(request, response)


def may_be_compressed(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Return True for a whole static file, and for an answer whose address an attacker cannot have chosen."""
    if request.method != "GET" or response.status_code != 200:
        return False
    if not response.get("Content-Type", "").startswith(TYPES):
        return False
    if request.path.startswith(settings.STATIC_URL):
        return True
    # No other site can send this header along, so the address is one that a page of ours asked for.
    asked_by_page = request.headers.get("HX-Request") == "true"
    match = request.resolver_match
    return match is not None and match.url_name not in NEVER and (asked_by_page or not request.GET)
