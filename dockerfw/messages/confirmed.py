"""What the root worker knows about the revision that was confirmed last, as a part of the snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from dockerfw.iptables.model import Backend
from dockerfw.messages.fields import Fields


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The revision kept last, into which backend, and what happened to the host since.

    `docker_moved_to` is another backend in which Docker's chains turned up since. `rebooted` says that the
    host was booted since, `released` that somebody let go of it on its console.
    """

    revision: int
    digest: str
    backend: Backend
    docker_moved_to: Backend | None = None
    rebooted: bool = False
    released: bool = False

    @classmethod
    def from_json(cls, value: object, path: str = "") -> Confirmed:
        """Read it. Raises MessageError."""
        fields = Fields(value, path)
        kept = cls(
            revision=fields.integer("revision", least=1),
            digest=fields.digest("digest"),
            backend=_backend(fields, "backend"),
            docker_moved_to=fields.optional("docker_moved_to", lambda key: _backend(fields, key)),
            rebooted=fields.flag("rebooted"),
            released=fields.flag("released"),
        )
        fields.done()
        return kept

    def to_json(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "revision": self.revision,
            "digest": self.digest,
            "backend": self.backend,
            "docker_moved_to": self.docker_moved_to,
            "rebooted": self.rebooted,
            "released": self.released,
        }


def _backend(fields: Fields, key: str) -> Backend:
    return cast(Backend, fields.one_of(key, ("nft", "legacy")))
