"""The time when a request's connection was opened, read from the kernel."""

from __future__ import annotations

import socket
import struct
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone

# tcp_info of linux/tcp.h: eight single bytes, then 32-bit fields, of which tcpi_last_data_sent is the tenth.
_LAST_DATA_SENT = 8 + 9 * 4
_INFO_BYTES = 104


def connected_at(request: HttpRequest) -> datetime | None:
    """Return when the request's own connection was opened; None over a unix socket, or if that is unknown.

    The kernel counts the milliseconds since data was last sent, beginning with the handshake. The server
    closes each connection after one answer, so nothing has been sent yet. A connection that has sent data
    seems younger than it is.
    """
    connection = request.META.get("gunicorn.socket")
    if not isinstance(connection, socket.socket) or connection.family == socket.AF_UNIX:
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        milliseconds = struct.unpack_from("=I", info, _LAST_DATA_SENT)[0]
    except (OSError, struct.error):
        return None
    return timezone.now() - timedelta(milliseconds=milliseconds)
