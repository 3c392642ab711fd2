"""Read the hosts."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings

from rules.models import Host

MOST_IN_SWITCHER = 100


def host_serves_pages(host: Host) -> bool:
    """Return True if this host also serves the pages; a single host always does."""
    return host.name == settings.ENVIRONMENT.host or not many_hosts()


def many_hosts() -> bool:
    """Return True if there is more than one host, so that pages must name the host they show."""
    return Host.objects.count() > 1


def hosts_to_switch() -> list[Host]:
    """Return the hosts by name, as many as the switcher in the sidebar has room for."""
    return list(Host.objects.order_by("name")[:MOST_IN_SWITCHER])


def host_default() -> Host:
    """Return the only host, or the one that DOCKERFW_HOST names when there are more."""
    host = Host.objects.filter(name=settings.ENVIRONMENT.host).first() or Host.objects.first()
    if host is None:
        host, _ = Host.objects.get_or_create(name=settings.ENVIRONMENT.host)
    return host


def read_along(host: Host, name: str) -> list[Any] | None:
    """Return the rows that were read for all hosts at once under a name, None for a host read alone."""
    return cast("list[Any] | None", host.__dict__.get(name))


def host_get(name: str) -> Host | None:
    """Return the host of that name, None when there is none."""
    return Host.objects.filter(name=name).first()
