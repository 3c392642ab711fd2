"""A WSGI site that says what it was sent, and how many passwords it was checking at the same time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

_lock = threading.Lock()
_checking = 0
_most = 0


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer the method and the length of the body. A sign-in takes 0.2 s, and /most counts those at once.

    /pid tells the process.
    """
    global _checking, _most
    length = len(environ["wsgi.input"].read())
    text = f"{environ['REQUEST_METHOD']} {length}"
    if environ["PATH_INFO"] == "/sign-in/" and environ["REQUEST_METHOD"] == "POST":
        with _lock:
            _checking += 1
            _most = max(_most, _checking)
        time.sleep(0.2)
        with _lock:
            _checking -= 1
    elif environ["PATH_INFO"] == "/most":
        text = str(_most)
    elif environ["PATH_INFO"] == "/pid":
        text = str(os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]
