"""What the root worker knows about the revision that was confirmed last, as a part of the snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dockerfw.iptables.model import FAMILIES, Backend, Family
from dockerfw.messages.codec import Absent, Message
from dockerfw.messages.shapes import Converted, Digest, ListOf, OneOf, Positive

FAMILY_DIGITS = Converted(
    ListOf(OneOf(("4", "6")), 2),
    after=lambda found: tuple(family for family in FAMILIES if str(family) in found),
    before=lambda families: tuple(map(str, families)),
)


@dataclass(frozen=True, slots=True)
class Confirmed(Message):
    """The revision confirmed last, its backend, and what happened to the host since.

    `docker_moved_to` is another backend in which Docker's chains have appeared since. `rebooted` means that
    the host has booted since, `released` that an admin ran `release` on its console. `docker_gone` are the
    families in which Docker's chains of some table were called since the boot and are not now.
    """

    revision: Positive
    digest: Digest
    backend: Backend
    docker_moved_to: Backend | None = None
    rebooted: bool = False
    released: bool = False
    docker_gone: Annotated[tuple[Family, ...], FAMILY_DIGITS, Absent.WHEN_EMPTY] = ()
