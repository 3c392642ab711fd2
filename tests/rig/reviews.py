"""Review a host's draft, or a roll back, as a request would: on a basis of its own."""

from __future__ import annotations

from rules.applying.proposal_selectors import propose_draft, propose_rollback
from rules.applying.review_selectors import Review, build_review
from rules.draft.basis_selectors import basis_of
from rules.models import Host


def review_draft(host: Host) -> Review:
    """Return the review of the draft."""
    basis = basis_of(host)
    return build_review(basis, propose_draft(basis))


def review_rollback(host: Host, number: int) -> Review | None:
    """Return the review of a roll back, None when there is no such revision."""
    basis = basis_of(host)
    proposal = propose_rollback(basis, number)
    return build_review(basis, proposal) if proposal else None
