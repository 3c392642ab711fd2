"""A browser without scripts: forms, cookies and one new connection for each request."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

_FIELD = re.compile(r'<input type="hidden" name="(csrfmiddlewaretoken|version|nonce)" value="([^"]*)"')


class Visitor:
    """Somebody at an address of the pages; `page` is the last page and `url` where it is."""

    def __init__(self, address: str, seconds: float = 10) -> None:
        """Begin without cookies. A request that takes longer than `seconds` fails."""
        self.address = address
        self.page = ""
        self.url = ""
        self._seconds = seconds
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> int:
        """Open a page and return the status."""
        return self._send(path, None)

    def submit(self, path: str, **fields: str) -> int:
        """Send a form with the hidden fields of the last page, and return the status."""
        hidden = dict(_FIELD.findall(self.page))
        return self._send(path, urlencode({**hidden, **fields}).encode())

    def _send(self, path: str, body: bytes | None) -> int:
        request = urllib.request.Request(self.address + path, data=body)
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                self.page, self.url = answer.read().decode(), answer.url
                return int(answer.status)
        except urllib.error.HTTPError as error:
            self.page, self.url = error.read().decode(errors="replace"), error.url
            return error.code
