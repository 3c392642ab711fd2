"""The word `addresses` in DOCKERFW_ALLOWED_HOSTS: accept every Host header that is an IP address.

Unlike `*`, this still refuses the name of another site that suddenly resolves to this host (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from django.conf import settings
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host

from dockerfw_site.environment import ANY_ADDRESS, Environment


def django_hosts(allowed: Sequence[str]) -> list[str]:
    """Return Django's ALLOWED_HOSTS; with `addresses` it is everything, and the middleware checks."""
    return ["*"] if ANY_ADDRESS in allowed else list(allowed)


class AddressHostMiddleware:
    """Refuse, with status 400, a Host that is neither an address nor one of the names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        environment: Environment = settings.ENVIRONMENT
        if ANY_ADDRESS not in environment.allowed_hosts:
            raise MiddlewareNotUsed
        self.get_response = get_response
        self.names = [name for name in environment.allowed_hosts if name != ANY_ADDRESS]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # get_host() refuses a header that cannot be a host.
        domain, _ = split_domain_port(request.get_host())
        if not _is_address(domain) and not validate_host(domain, self.names):
            raise DisallowedHost(f"Invalid HTTP_HOST header: {domain!r} is neither an address nor allowed.")
        return self.get_response(request)


def _is_address(domain: str) -> bool:
    try:
        ip_address(domain.strip("[]"))
    except ValueError:
        return False
    return True
