"""Fetch a URL that a user typed: bounded in size and time, and from an address that was checked.

A name is resolved once for each hop, and the connection goes to the address that was checked: a name that
answers differently the next moment leads nowhere else. Behind a proxy the proxy resolves names.
"""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from dockerfw.version import VERSION
from rules.link.target_addresses import (
    Resolver,
    TargetRefused,
    check_address,
    find_targets,
    system_resolver,
)

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 20.0
MOST_REDIRECTS: Final = 5
MOST_URL: Final = 2000
PIECE_BYTES: Final = 64 * 1024
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_PORTS: Final = {"http": 80, "https": 443}

NO_URL = "{url!r} is not the address of a list. It starts with https:// and has no user name."
NO_HTTP = "{url} is fetched without encryption. Allow http for this group, or use https."
REDIRECTS = "The server redirected more than {most} times."
NO_PLACE = "The server redirected without saying where to."
GONE = "The list is gone: the server answered {status}."
STATUS = "The server answered {status} instead of the list."
LARGE = "The answer is larger than {most} bytes."
BOMB = "The answer is larger than {most} bytes once it is decompressed."
BROKEN_GZIP = "The answer says that it is compressed with gzip, but it is not."
CODING = "The answer is compressed with {coding!r}. dockerfw reads gzip."
SLOW = "The answer took longer than {seconds:.0f} seconds."
UNREACHED = "{host} cannot be reached: {why}."
CUT = "The answer is incomplete: {why}."
NO_CA = "DOCKERFW_OUTBOUND_CA_FILE {path} cannot be used: {why}."


class FetchFailed(Exception):  # noqa: N818 - it states a fact
    """A URL was not fetched; the text says why."""


@dataclass(frozen=True, slots=True)
class Outbound:
    """How the dashboard connects for a user's URL: what is allowed, and the bounds of an answer.

    `proxy` is a URL such as http://proxy.example.org:3128, and `ca_file` has more certificates in PEM
    that are trusted.
    """

    internal: bool = False
    ca_file: Path | None = None
    proxy: str = ""
    seconds: float = 100.0
    most_bytes: int = 64 * 1024 * 1024
    resolve: Resolver = system_resolver


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: its bytes, None when it has not changed since the ETag, and its ETag, maybe empty."""

    data: bytes | None
    etag: str = ""


def fetch_url(url: str, outbound: Outbound, *, allow_http: bool = False, etag: str = "") -> Fetched:
    """Fetch a URL, through redirects. Raises FetchFailed."""
    deadline = time.monotonic() + outbound.seconds
    for _ in range(MOST_REDIRECTS + 1):
        parts = _check_url(url, allow_http=allow_http)
        try:
            with _closing(_get(parts, outbound, etag, deadline)) as response:
                if response.status in _REDIRECTS:
                    place = response.headers.get("Location", "")
                    if not place:
                        raise FetchFailed(NO_PLACE)
                    url = urljoin(url, place)
                    continue
                return _read_answer(response, outbound, etag, deadline)
        except TargetRefused as refused:
            raise FetchFailed(str(refused)) from None
        except (HTTPError, OSError, ValueError) as error:
            why = _reason(error)
            raise FetchFailed(UNREACHED.format(host=parts.hostname, why=why)) from None
    raise FetchFailed(REDIRECTS.format(most=MOST_REDIRECTS))


class _closing:  # noqa: N801 - like contextlib's
    """Closes a response with its connection."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __enter__(self) -> urllib3.BaseHTTPResponse:
        return self._response

    def __exit__(self, *error: object) -> None:
        # What is left of the answer is not read, so the connection is of no further use.
        self._response.close()


def _check_url(url: str, *, allow_http: bool) -> SplitResult:
    shown = url[:200]
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise FetchFailed(NO_URL.format(url=shown)) from None
    printable = url.isascii() and url.isprintable() and " " not in url
    if (
        not usable
        or parts.scheme not in _PORTS
        or "@" in parts.netloc
        or not printable
        or len(url) > MOST_URL
    ):
        raise FetchFailed(NO_URL.format(url=shown))
    if parts.scheme == "http" and not allow_http:
        raise FetchFailed(NO_HTTP.format(url=shown))
    return parts


def _get(parts: SplitResult, outbound: Outbound, etag: str, deadline: float) -> urllib3.BaseHTTPResponse:
    """Send the request to the first checked address that takes the connection."""
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    headers = {
        "Host": parts.netloc,
        "User-Agent": f"dockerfw/{VERSION}",
        "Accept": "text/plain, */*;q=0.5",
        "Accept-Encoding": "gzip",
        "Connection": "close",
    }
    if etag:
        headers["If-None-Match"] = etag
    if outbound.proxy:
        return _get_by_proxy(parts, outbound, headers, deadline)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    targets = find_targets(host, port, internal=outbound.internal, resolve=outbound.resolve)
    for place, address in enumerate(targets):
        pool = _pool(parts.scheme, host, address, port, outbound)
        try:
            return pool.urlopen(
                "GET",
                path,
                headers=headers,
                timeout=_timeout(deadline, outbound),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            if place == len(targets) - 1:
                raise
    raise AssertionError("a host without addresses was refused")


def _pool(scheme: str, host: str, address: str, port: int, outbound: Outbound) -> urllib3.HTTPConnectionPool:
    """Return a pool for one address, which checks the certificate for the host's name."""
    if scheme == "http":
        return urllib3.HTTPConnectionPool(address, port, maxsize=1)
    return urllib3.HTTPSConnectionPool(
        address,
        port,
        maxsize=1,
        ssl_context=_context(outbound),
        server_hostname=host,
        assert_hostname=host,
    )


def _get_by_proxy(
    parts: SplitResult, outbound: Outbound, headers: dict[str, str], deadline: float
) -> urllib3.BaseHTTPResponse:
    """Send the request by the proxy, which resolves the name; an address in the URL is checked here."""
    host = str(parts.hostname)
    try:
        address = ip_address(host)
    except ValueError:
        if host == "localhost" or host.endswith(".localhost"):
            check_address(host, ip_address("127.0.0.1"), internal=outbound.internal)
    else:
        check_address(host, address, internal=outbound.internal)
    context = _context(outbound)
    manager = urllib3.ProxyManager(outbound.proxy, ssl_context=context, proxy_ssl_context=context)
    return manager.urlopen(
        "GET",
        parts._replace(fragment="").geturl(),
        headers=headers,
        timeout=_timeout(deadline, outbound),
        retries=False,
        redirect=False,
        preload_content=False,
        decode_content=False,
    )


def _context(outbound: Outbound) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if outbound.ca_file is not None:
        try:
            context.load_verify_locations(cafile=outbound.ca_file)
        except OSError as error:
            why = error.strerror or error
            raise FetchFailed(NO_CA.format(path=outbound.ca_file, why=why)) from None
    return context


def _read_answer(
    response: urllib3.BaseHTTPResponse, outbound: Outbound, etag: str, deadline: float
) -> Fetched:
    if response.status == 304 and etag:
        return Fetched(None, etag)
    if response.status in (404, 410):
        raise FetchFailed(GONE.format(status=response.status))
    if response.status != 200:
        raise FetchFailed(STATUS.format(status=response.status))
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > outbound.most_bytes:
        raise FetchFailed(LARGE.format(most=outbound.most_bytes))
    coding = response.headers.get("Content-Encoding", "identity").strip().lower() or "identity"
    if coding not in ("identity", "gzip", "x-gzip"):
        raise FetchFailed(CODING.format(coding=coding[:40]))
    pieces = _pieces(response, outbound, deadline)
    data = b"".join(pieces) if coding == "identity" else _gunzip(pieces, outbound.most_bytes)
    found = response.headers.get("ETag", "")
    return Fetched(data, found if len(found) <= 200 and found.isascii() and found.isprintable() else "")


def _pieces(response: urllib3.BaseHTTPResponse, outbound: Outbound, deadline: float) -> Iterator[bytes]:
    """Yield the answer as it arrives; refuse one that is too large, too slow or cut off."""
    size = 0
    while True:
        if time.monotonic() > deadline:
            raise FetchFailed(SLOW.format(seconds=outbound.seconds))
        try:
            piece = response.read1(PIECE_BYTES)
        except (HTTPError, OSError) as error:
            raise FetchFailed(CUT.format(why=_reason(error))) from None
        if not piece:
            break
        size += len(piece)
        if size > outbound.most_bytes:
            raise FetchFailed(LARGE.format(most=outbound.most_bytes))
        yield piece
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and size < int(length):
        raise FetchFailed(CUT.format(why=f"{size} of {length} bytes arrived"))


def _gunzip(pieces: Iterator[bytes], most: int) -> bytes:
    """Decompress one gzip stream within a bound."""
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    found: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            found.append(stream.decompress(piece, most + 1 - size))
            size += len(found[-1])
            if size > most or stream.unconsumed_tail:
                raise FetchFailed(BOMB.format(most=most))
    except zlib.error:
        raise FetchFailed(BROKEN_GZIP) from None
    if not stream.eof or stream.unused_data:
        raise FetchFailed(BROKEN_GZIP)
    return b"".join(found)


def _timeout(deadline: float, outbound: Outbound) -> Timeout:
    left = deadline - time.monotonic()
    if left <= 0:
        raise FetchFailed(SLOW.format(seconds=outbound.seconds))
    return Timeout(connect=min(left, CONNECT_SECONDS), read=min(left, SILENCE_SECONDS))


def _reason(error: Exception) -> str:
    """Return the reason without the objects that urllib3 puts in front of it."""
    reason = getattr(error, "reason", None) or error
    text = str(reason)
    return text.rpartition(">: ")[2][:300] or type(error).__name__
