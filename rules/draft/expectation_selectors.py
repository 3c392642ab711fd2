"""Read the expectations of a draft, with the marks new and removed against the base revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dockerfw.document.document import Expectation as DocumentExpectation
from rules.draft.draft_selectors import base_document, expectation_document
from rules.models import Expectation, Host

Mark = Literal["", "new", "removed"]


@dataclass(frozen=True, slots=True)
class ExpectationRow:
    """One line of the expectations page; `key` and `version` are 0 for one that only the base has."""

    key: int
    version: int
    expectation: DocumentExpectation
    mark: Mark


def expectation_rows(host: Host) -> tuple[ExpectationRow, ...]:
    """Return the draft's expectations in the order they were added, then those to be removed."""
    base = base_document(host)
    applied = set(base.expectations) if base else set()
    rows = []
    for row in Expectation.objects.filter(host=host):
        expectation = expectation_document(row)
        rows.append(ExpectationRow(row.pk, row.version, expectation, "" if expectation in applied else "new"))
        applied.discard(expectation)
    gone = [each for each in (base.expectations if base else ()) if each in applied]
    return (*rows, *(ExpectationRow(0, 0, each, "removed") for each in gone))


def expectation_get(host: Host, key: int) -> Expectation | None:
    """Return an expectation of the draft, None when there is none."""
    return Expectation.objects.filter(host=host, pk=key).first()
