"""The basis of a request: the host, its draft, its base revision and its last snapshot, each read once."""

from __future__ import annotations

from dataclasses import dataclass

from dockerfw.document.document import Document, DocumentRule
from rules.draft.draft_selectors import base_revision, draft_document, revision_document
from rules.models import Host, Revision
from rules.seen.snapshot_selectors import Look, SnapshotView, look


@dataclass(frozen=True, slots=True)
class Basis:
    """One reading of a host, handed to all selectors and services of a request.

    `base` is the revision that was confirmed last, None before the first; `seen` holds the last snapshot, or
    the reason why there is none. A service that writes compares `draft_version` and `base` with the locked
    row of the host.
    """

    host: Host
    draft_version: int
    draft: Document
    base: Revision | None
    base_document: Document | None
    seen: Look

    @property
    def view(self) -> SnapshotView | None:
        """The last snapshot, None when there is none."""
        return self.seen.view

    @property
    def rules(self) -> dict[str, DocumentRule]:
        """The draft's rules by id."""
        return {rule.id: rule for rule in self.draft.rules}

    @property
    def head(self) -> int:
        """The number of the base revision, 0 for none."""
        return self.base.number if self.base else 0


def basis_of(host: Host, seen: Look | None = None) -> Basis:
    """Read the basis of a request about `host`; `seen` is a look that the caller already took."""
    base = base_revision(host)
    return Basis(
        host=host,
        draft_version=host.draft_version,
        draft=draft_document(host),
        base=base,
        base_document=revision_document(base) if base else None,
        seen=seen or look(host),
    )
