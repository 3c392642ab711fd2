"""Two people edited the same thing: what a form shows of it, and on which version it stands then.

Owns what the forms of rules and expectations have in common there; who was first is for the services to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, QueryDict

from rules.models import Expectation, Rule
from rules.pages.wording import FieldPair


@dataclass(frozen=True, slots=True)
class EditConflict:
    """Somebody else's version beside the one that was typed here; `gone` when they removed it."""

    gone: bool
    lines: tuple[FieldPair, ...]


def typed_over(request: HttpRequest, theirs: Rule | Expectation | None) -> QueryDict:
    """Return what was typed, standing on their version: saving it again is a decision, not an accident."""
    data = request.POST.copy()
    data["version"] = str(theirs.version) if theirs else ""
    return data
