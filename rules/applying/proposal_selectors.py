"""Read what may be applied: the draft, or the content of an earlier revision."""

from __future__ import annotations

from dataclasses import dataclass

from dockerfw.document.document import Document, digest
from rules.draft.basis_selectors import Basis
from rules.draft.draft_selectors import revision_document
from rules.models import Host, Revision

# The simulator judges this many rules without a noticeable wait.
MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Proposal:
    """A document that may be applied, and the number of the revision that carries it.

    `revision` is the revision to load again, None when a new one has to be made. `restores` is the number
    that a roll back was asked for, None for the draft. `expects` is what the order has to name: the draft's
    version, or for a roll back the number of the base revision.
    """

    document: Document
    number: int
    revision: Revision | None
    restores: int | None
    expects: int

    @property
    def is_quick(self) -> bool:
        """Return True if its effects can be worked out at once; thousands of rules take seconds."""
        return len(self.document.rules) <= MOST_AT_ONCE


def propose_draft(basis: Basis) -> Proposal:
    """Return the draft as a proposal; a draft that equals the base revision loads that again."""
    same = basis.base if basis.base is not None and basis.base.digest == digest(basis.draft) else None
    number = same.number if same else next_number(basis.host)
    return Proposal(basis.draft, number, same, None, basis.draft_version)


def propose_rollback(basis: Basis, number: int) -> Proposal | None:
    """Return the content of a revision as a proposal, None when there is no such revision."""
    revision = Revision.objects.filter(host=basis.host, number=number).first()
    if revision is None:
        return None
    again = basis.base if basis.head == number else None
    to_be = again.number if again else next_number(basis.host)
    return Proposal(revision_document(revision), to_be, again, number, basis.head)


def next_number(host: Host) -> int:
    """Return the number that the next revision will get."""
    numbers = Revision.objects.filter(host=host).order_by("-number").values_list("number", flat=True)
    return (numbers.first() or 0) + 1
