"""A browser in a few lines: cookies, forms with their token, and nothing else."""

from __future__ import annotations

import http.cookiejar
import re
import urllib.parse
import urllib.request

from tests.rig.namespace import PATIENCE


class Visitor:
    """A visitor with its own session at one address."""

    def __init__(self, address: str) -> None:
        self.address = address
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)

    def get(self, place: str) -> str:
        """Return a page."""
        with self._opener.open(urllib.parse.urljoin(self.address, place), timeout=PATIENCE) as answer:
            page: bytes = answer.read()
        return page.decode()

    def post(self, place: str, **fields: str) -> str:
        """Fill in the form of a page, send it, and return the page that follows."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(place))
        assert found, f"no form at {place}"
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": found[1], **fields}).encode()
        url = urllib.parse.urljoin(self.address, place)
        request = urllib.request.Request(url, data, {"Referer": url})
        with self._opener.open(request, timeout=PATIENCE) as answer:
            page: bytes = answer.read()
        return page.decode()
