"""What a form shows after a conflicting edit: the stored version beside the typed one."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, QueryDict

from rules.models import Expectation, Rule
from rules.pages.wording import FieldPair


@dataclass(frozen=True, slots=True)
class EditConflict:
    """The stored version beside the typed one, field by field; `gone` when it was removed."""

    gone: bool
    lines: tuple[FieldPair, ...]


def overwrite_stored(request: HttpRequest, theirs: Rule | Expectation | None) -> QueryDict:
    """Return the typed values with the stored version, so that saving again overwrites it on purpose."""
    data = request.POST.copy()
    data["version"] = str(theirs.version) if theirs else ""
    return data
