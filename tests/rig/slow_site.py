"""A WSGI site that says what it was sent, and how many passwords it was checking at the same time.

From /hold to /release it answers no sign-in and no /slow, so that a test sees what goes on meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings

_lock = threading.Lock()
_released = threading.Event()
_released.set()
_checking = 0
_most = 0


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer the method and the length of the body.

    /most tells how many passwords were checked at once, /pid the process, /cookie the name of the session
    cookie, and /long/N answers N bytes.
    """
    global _checking, _most
    length = len(environ["wsgi.input"].read())
    text = f"{environ['REQUEST_METHOD']} {length}"
    if environ["PATH_INFO"] in ("/sign-in/", "/password/") and environ["REQUEST_METHOD"] == "POST":
        with _lock:
            _checking += 1
            _most = max(_most, _checking)
        _released.wait()
        with _lock:
            _checking -= 1
    elif environ["PATH_INFO"] == "/hold":
        _released.clear()
    elif environ["PATH_INFO"] == "/release":
        _released.set()
    elif environ["PATH_INFO"] == "/slow":
        _released.wait()
    elif environ["PATH_INFO"] == "/most":
        text = str(_most)
    elif environ["PATH_INFO"] == "/pid":
        text = str(os.getpid())
    elif environ["PATH_INFO"] == "/cookie":
        text = settings.SESSION_COOKIE_NAME
    elif environ["PATH_INFO"].startswith("/long/"):
        text = "x" * int(environ["PATH_INFO"].removeprefix("/long/"))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]
