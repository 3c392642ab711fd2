"""One HTTP request while it arrives: when it is complete, how large and how slow it may be, and its lane.

The web worker reads requests with it before a thread handles them. Reading and checking HTTP itself is left
to gunicorn, which gets exactly the bytes of one request.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import unquote_to_bytes

MIB = 1024 * 1024
MOST_HEAD_BYTES = 32 * 1024
# No form that works without signing in is longer.
MOST_ANONYMOUS_BYTES = 64 * 1024
# A draft may be imported as one form field: 4 MiB for the document, the rest for the other fields.
MOST_BODY_BYTES = 6 * MIB
HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
SLOWEST_BYTES_A_SECOND = 16 * 1024

_END_OF_HEAD = b"\r\n\r\n"
_APPLY = re.compile(rb"/hosts/[^/]+/(applies|window)/")
_HEALTH = b"/healthz"
_PASSWORD = re.compile(rb"/(sign-in|password|setup/[^/]+)/?$")


class Lane(StrEnum):
    """The threads that handle a request: a lane that is full delays no other lane."""

    APPLY = "apply"
    PASSWORDS = "passwords"
    PAGES = "pages"
    ANONYMOUS = "anonymous"


class Refused(Exception):  # noqa: N818 - it states a fact
    """The server answers with a status of its own and does not hand the request on."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Incoming:
    """The bytes of one request; `deadline` is when the next part has to be complete (monotonic seconds)."""

    def __init__(self, now: float, session_cookie: str) -> None:
        """Begin with nothing received. Only a request with the session cookie may have a large body."""
        self.deadline = now + HEAD_SECONDS
        self.lane = Lane.PAGES
        self.size = 0
        self._session = f"{session_cookie}=".encode()
        self._data = bytearray()

    @property
    def began(self) -> bool:
        """True if anything has been received."""
        return bool(self._data)

    @property
    def complete(self) -> bool:
        """True if the whole request has been received."""
        return 0 < self.size <= len(self._data)

    def add(self, piece: bytes, now: float) -> None:
        """Add what was received. Raises Refused."""
        searched = max(0, len(self._data) - len(_END_OF_HEAD) + 1)
        self._data += piece
        if self.size:
            return
        end = self._data.find(_END_OF_HEAD, searched)
        if end > MOST_HEAD_BYTES or (end < 0 and len(self._data) > MOST_HEAD_BYTES):
            limit = f"{MOST_HEAD_BYTES // 1024} KiB"
            raise Refused("431 Request Header Fields Too Large", f"The header is longer than {limit}.")
        if end >= 0:
            self._read_head(end, now)

    def take(self) -> bytes:
        """Return the request's own bytes, without any that follow it."""
        return bytes(self._data[: self.size])

    def _read_head(self, end: int, now: float) -> None:
        lines = bytes(self._data[:end]).split(b"\r\n")
        pairs = [line.partition(b":")[::2] for line in lines[1:]]
        fields = [(name.strip().lower(), value.strip()) for name, value in pairs]
        if any(name == b"transfer-encoding" for name, _ in fields):
            raise Refused("411 Length Required", "Send the body with its Content-Length.")
        lengths = [value for name, value in fields if name == b"content-length"]
        # Gunicorn refuses any other number of lengths, and one that is no number.
        is_number = len(lengths) == 1 and re.fullmatch(rb"[0-9]+", lengths[0])
        length = int(lengths[0][:18]) if is_number else 0
        signed_in = any(name == b"cookie" and self._session in value for name, value in fields)
        most = MOST_BODY_BYTES if signed_in else MOST_ANONYMOUS_BYTES
        if length > most:
            limit = f"{most // MIB} MiB" if signed_in else f"{most // 1024} KiB before you sign in"
            raise Refused("413 Content Too Large", f"The request is too long. At most {limit} are allowed.")
        self.size = end + len(_END_OF_HEAD) + length
        self.deadline = now + BODY_SECONDS + length / SLOWEST_BYTES_A_SECOND
        self.lane = _lane_of(lines[0], signed_in=signed_in)


def _lane_of(request_line: bytes, *, signed_in: bool) -> Lane:
    method, _, rest = request_line.partition(b" ")
    path = unquote_to_bytes(rest.partition(b" ")[0].partition(b"?")[0])
    if method == b"POST" and _PASSWORD.search(path):
        return Lane.PASSWORDS
    if not signed_in and path != _HEALTH:
        return Lane.ANONYMOUS
    return Lane.APPLY if _APPLY.search(path) else Lane.PAGES
