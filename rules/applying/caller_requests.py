"""Read the caller of a page from its request: the client's address, and the address and port it used."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

from dockerfw_site.environment import Environment
from dockerfw_site.proxies import client_address, peer_address
from rules.models import Host
from rules.pages.host_selectors import host_serves_pages
from rules.pages.requests import whole_number
from rules.seen.consequence_selectors import Caller


def caller_of(request: HttpRequest, host: Host) -> Caller:
    """Return the caller of a page about a host; the port is the one in the browser's address bar."""
    name, port = _split(request.get_host())
    environment: Environment = settings.ENVIRONMENT
    return Caller(
        address=client_address(request),
        peer=peer_address(request),
        port=whole_number(port, 443 if request.is_secure() else 80),
        server_port=whole_number(str(request.META.get("SERVER_PORT", "")), 80),
        # This name is loopback everywhere (RFC 6761).
        dialled="127.0.0.1" if name == "localhost" else name if _is_address(name) else "",
        here=host_serves_pages(host),
        contained=environment.in_container,
    )


def _split(host: str) -> tuple[str, str]:
    """Split `[2001:db8::1]:8000` and `192.0.2.1:8000` into address and port."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
