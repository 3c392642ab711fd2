"""Read which hosts there are; with one, no page has to name it."""

from __future__ import annotations

from django.conf import settings

from rules.models import Host


def host_serves_pages(host: Host) -> bool:
    """Say whether the pages are served by this very host; the only host there is does."""
    return host.name == settings.ENVIRONMENT.host or not many_hosts()


def many_hosts() -> bool:
    """Say whether there is more than one host, so that pages have to say which one they show."""
    return Host.objects.count() > 1


def host_default() -> Host:
    """Return the only host, or the one that DOCKERFW_HOST names when there are more."""
    host = Host.objects.filter(name=settings.ENVIRONMENT.host).first() or Host.objects.first()
    if host is None:
        host, _ = Host.objects.get_or_create(name=settings.ENVIRONMENT.host)
    return host


def host_get(name: str) -> Host | None:
    """Return the host of that name, None when there is none."""
    return Host.objects.filter(name=name).first()
