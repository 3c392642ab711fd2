"""The page for what nobody expected, and a clear one for a database that has no room left.

SQLite and Postgres undo what they could not write as a whole, so nothing is half done then. Only the words of
the database tell that its disk is full.
"""

from __future__ import annotations

import sys

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

INSUFFICIENT_STORAGE = 507
# SQLite's words for SQLITE_FULL, and how Postgres says ENOSPC.
_FULL = ("database or disk is full", "no space left on device")


def no_room(error: BaseException | None) -> bool:
    """Say whether a database failed because nothing can be written to its disk."""
    return isinstance(error, DatabaseError) and any(words in str(error).lower() for words in _FULL)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for an exception that nobody caught (Django's handler500, called while it is handled)."""
    if no_room(sys.exc_info()[1]):
        return HttpResponse(render_to_string("507.html"), status=INSUFFICIENT_STORAGE)
    return HttpResponse(render_to_string("500.html"), status=500)
