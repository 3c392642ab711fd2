"""A signed-in user that requests pages and sends forms like a browser."""

from __future__ import annotations

import gzip
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar

SECONDS = 600.0
PASSWORD = "a long password for one run"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: the status, the last URL, the text, the time in seconds, and the bytes that were sent."""

    status: int
    url: str
    text: str
    seconds: float
    sent: int


@dataclass(slots=True)
class Form(HTMLParser):
    """The hidden fields of the form on a page that has the field `wanted`."""

    wanted: str
    found: dict[str, str] = field(default_factory=dict)
    _open: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the fields of each form."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = {}
        elif tag in {"input", "textarea"} and "name" in values:
            self._open[values["name"]] = values.get("value", "")
            if values["name"] == self.wanted:
                self.found = self._open


class Person:
    """A session of cookies at one address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str, *, htmx: bool = False) -> Answer:
        """Ask for a page and read all of it; with `htmx` as the scripts of a page ask."""
        headers = {"HX-Request": "true"} if htmx else {}
        url = urllib.parse.urljoin(self.address, path)
        return self._ask(urllib.request.Request(url, headers=headers))  # noqa: S310

    def fields(self, path: str, wanted: str) -> dict[str, str]:
        """Return the fields of the form on a page that has the field `wanted`."""
        form = Form(wanted)
        form.feed(self.get(path).text)
        if not form.found:
            raise LookupError(f"{path} has no form with the field {wanted}")
        return form.found

    def post(self, path: str, fields: dict[str, str], *, htmx: bool = False) -> Answer:
        """Send a form and follow where it leads; with `htmx` as the scripts of a page send it."""
        url = urllib.parse.urljoin(self.address, path)
        data = urllib.parse.urlencode(fields).encode()
        headers = {"Referer": url, **({"HX-Request": "true"} if htmx else {})}
        return self._ask(urllib.request.Request(url, data, headers))  # noqa: S310

    def become_first_admin(self, link: str) -> None:
        """Use the one-time link."""
        chosen = {"username": "alice", "password1": PASSWORD, "password2": PASSWORD}
        answer = self.post(link, {**self.fields(link, "username"), **chosen})
        if "/setup/" in answer.url:
            raise LookupError("the first admin could not be made")

    def _ask(self, request: urllib.request.Request) -> Answer:
        request.add_header("Accept-Encoding", "gzip")
        began = time.perf_counter()
        try:
            with self._opener.open(request, timeout=SECONDS) as reply:
                body = reply.read()
                seconds, sent = time.perf_counter() - began, len(body)
                if reply.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                url = urllib.parse.urljoin(reply.url, reply.headers.get("HX-Push-Url", reply.url))
                return Answer(reply.status, url, body.decode("utf-8", "replace"), seconds, sent)
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return Answer(304, request.full_url, "", time.perf_counter() - began, 0)
            raise LookupError(f"{request.full_url} answered {error.code}") from error
