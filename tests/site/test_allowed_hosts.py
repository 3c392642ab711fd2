"""The Host headers that are answered when every address of the host is allowed."""

from __future__ import annotations

import pytest
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from dockerfw_site.allowed_hosts import AddressHostMiddleware, django_hosts
from dockerfw_site.environment import read_environment


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.get_host())


@pytest.fixture
def middleware(settings: Settings) -> AddressHostMiddleware:
    """The value in compose.yaml, and a name."""
    environment = read_environment({"DOCKERFW_ALLOWED_HOSTS": "localhost addresses .example.org"})
    settings.ENVIRONMENT = environment
    settings.ALLOWED_HOSTS = django_hosts(environment.allowed_hosts)
    return AddressHostMiddleware(answer)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.1",
        "192.0.2.1:8000",
        "[2001:db8::1]:8000",
        "[::1]",
        "localhost:8000",
        "fw.example.org",
        "example.org",
    ],
)
def test_addresses_and_the_names_are_answered(middleware: AddressHostMiddleware, host: str) -> None:
    assert middleware(RequestFactory().get("/", HTTP_HOST=host)).content == host.encode()


@pytest.mark.parametrize(
    "host",
    ["evil.test", "192.0.2.1.evil.test", "addresses", "localhost.evil.test:8000", "exa mple.org", "[::1"],
)
def test_others_are_refused(middleware: AddressHostMiddleware, host: str) -> None:
    with pytest.raises(DisallowedHost):
        middleware(RequestFactory().get("/", HTTP_HOST=host))


def test_without_the_option_django_decides(settings: Settings) -> None:
    settings.ENVIRONMENT = read_environment({"DOCKERFW_ALLOWED_HOSTS": "fw.example.org"})
    assert django_hosts(settings.ENVIRONMENT.allowed_hosts) == ["fw.example.org"]
    with pytest.raises(MiddlewareNotUsed):
        AddressHostMiddleware(answer)
