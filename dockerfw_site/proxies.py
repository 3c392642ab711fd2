"""The client address of a request, and which proxies may set it.

X-Forwarded-For and X-Forwarded-Proto count only from a proxy that DOCKERFW_TRUSTED_PROXIES names. From any
other peer they are removed from the request.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from dockerfw_site.environment import Environment

FORWARDED_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO")


class TrustedProxyMiddleware:
    """Drop forwarding headers that did not come from a trusted proxy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_trusted(request.META.get("REMOTE_ADDR", "")):
            for header in FORWARDED_HEADERS:
                request.META.pop(header, None)
        return self.get_response(request)


def client_address(request: HttpRequest) -> str:
    """Return the browser's address: the peer's, or the last forwarded one that is not a trusted proxy's."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if not _is_trusted(peer):
        return _normal(peer)
    hops = [
        hop.strip() for hop in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()
    ]
    for hop in reversed(hops):
        address = _normal(hop)
        if not address:
            break
        peer = address
        if not _is_trusted(address):
            break
    return _normal(peer)


def peer_address(request: HttpRequest) -> str:
    """Return the address of the connection's peer, a browser or a proxy; empty for a unix socket."""
    return _normal(str(request.META.get("REMOTE_ADDR", "")))


def _is_trusted(address: str) -> bool:
    environment: Environment = settings.ENVIRONMENT
    if not address:
        return environment.trust_unix_socket
    normal = _normal(address)
    return bool(normal) and any(ip_address(normal) in network for network in environment.trusted_proxies)


def _normal(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
