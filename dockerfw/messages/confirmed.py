"""What the root worker knows about the revision that was confirmed last, as a part of the snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from dockerfw.iptables.model import Backend
from dockerfw.messages.codec import Message
from dockerfw.messages.shapes import Digest, Positive


@dataclass(frozen=True, slots=True)
class Confirmed(Message):
    """The revision confirmed last, its backend, and what happened to the host since.

    `docker_moved_to` is another backend in which Docker's chains have appeared since. `rebooted` means that
    the host has booted since, `released` that an admin ran `release` on its console.
    """

    revision: Positive
    digest: Digest
    backend: Backend
    docker_moved_to: Backend | None = None
    rebooted: bool = False
    released: bool = False
