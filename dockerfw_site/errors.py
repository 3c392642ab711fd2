"""The page for an unexpected error, and the one for a database whose disk is full.

SQLite and Postgres undo a transaction that they cannot write completely, so nothing is half done. Only the
text of the database's error shows that its disk is full.
"""

from __future__ import annotations

import sys

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

INSUFFICIENT_STORAGE = 507
# The messages of SQLite for SQLITE_FULL and of Postgres for ENOSPC.
_FULL = ("database or disk is full", "no space left on device")


def no_room(error: BaseException | None) -> bool:
    """Return True if a database error means that its disk is full."""
    return isinstance(error, DatabaseError) and any(words in str(error).lower() for words in _FULL)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an uncaught exception (Django's handler500, called while the exception is handled)."""
    if no_room(sys.exc_info()[1]):
        return HttpResponse(render_to_string("507.html"), status=INSUFFICIENT_STORAGE)
    return HttpResponse(render_to_string("500.html"), status=500)
