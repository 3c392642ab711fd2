"""What the root worker knows of the revision that it kept last, and what of it differs in a snapshot.

Owns the shape of that part of the snapshot, and the one way in which both sides ask for drift. It must not do
I/O, run a command, or import Django.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from dockerfw.chains.causes import DriftFacts
from dockerfw.chains.drift import Drift, find_drift
from dockerfw.document.document import Document, digest
from dockerfw.iptables.model import Backend, Family, Ruleset
from dockerfw.messages.fields import Fields

if TYPE_CHECKING:
    from dockerfw.messages.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Kept:
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
    def from_json(cls, value: object, path: str = "") -> Kept:
        """Read it. Raises OrderError."""
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


def drift_of(
    snapshot: Snapshot,
    rulesets: Mapping[Family, Ruleset],
    document: Document,
    revision: int,
    *,
    command: str = "dockerfw",
) -> Drift:
    """Return how a snapshot, whose saves are given parsed, differs from a revision's document.

    `command` is how the command line is called there.
    """
    live = {family: rulesets[family] for family in snapshot.families if family not in snapshot.unread}
    around = replace(_around(snapshot, document, revision), command=command)
    return find_drift(document, revision, live, around, families=snapshot.families)


def _around(snapshot: Snapshot, document: Document, revision: int) -> DriftFacts:
    kept, docker_nftables = snapshot.kept, snapshot.docker_state == "nftables"
    if kept is None or (kept.revision, kept.digest) != (revision, digest(document)):
        # What happened since another revision was kept says nothing about this one.
        return DriftFacts(docker_nftables=docker_nftables, foreign_tables=snapshot.own_tables)
    return DriftFacts(
        kept_backend=kept.backend,
        docker_moved_to=kept.docker_moved_to or "",
        docker_nftables=docker_nftables,
        rebooted=kept.rebooted,
        released=kept.released,
        foreign_tables=snapshot.own_tables,
    )


def _backend(fields: Fields, key: str) -> Backend:
    return cast(Backend, fields.one_of(key, ("nft", "legacy")))
