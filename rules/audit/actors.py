"""Actors of the audit log."""

from __future__ import annotations

import getpass
from dataclasses import dataclass

from django.http import HttpRequest

from dockerfw_site.proxies import client_address


@dataclass(frozen=True, slots=True)
class Actor:
    """An account, command or process that changes something; processes have no user and no address."""

    name: str
    address: str = ""
    user_id: int | None = None


SYSTEM = Actor(name="dockerfw")


def actor_of(request: HttpRequest) -> Actor:
    """Return the signed-in user of a request with the address it came from."""
    user = request.user
    return Actor(name=user.get_username(), address=client_address(request), user_id=user.pk)


def command_line_actor() -> Actor:
    """Return the account that runs the command."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown account"
    return Actor(name=f"{name} (command line)")
