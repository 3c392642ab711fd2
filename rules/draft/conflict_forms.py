"""What a form does after a conflicting edit: merge both, or show the stored version beside the typed one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, QueryDict

from rules.pages.wording import FieldPair

MOST_OPENED = 20_000
# The fields of a form for those fields of a document that have another name there.
PARTS: Mapping[str, tuple[str, ...]] = {
    "protocol": ("protocol", "protocol_other"),
    "ports": ("ports", "every_port"),
    "limit": ("limit_number", "limit_unit"),
    "external_interfaces": ("external_interfaces", "external_other"),
}


@dataclass(frozen=True, slots=True)
class EditConflict:
    """The stored version beside the typed one, field by field; `gone` when it was removed."""

    gone: bool
    lines: tuple[FieldPair, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """Two edits of one version: fields that `theirs` changed alone, and those that both changed."""

    values: Mapping[str, object]
    theirs: tuple[str, ...]
    both: tuple[str, ...]


def opened_text(values: Mapping[str, object]) -> str:
    """Return the values that a form was opened with, for its hidden field `opened`."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def merge_edits(request: HttpRequest, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> Merge:
    """Merge the typed values with the stored ones, by the values with which the form was opened.

    Without these, every field that differs counts as changed by both.
    """
    opened = _read_opened(request)
    values, alone, both = dict(mine), [], []
    for name, stored in theirs.items():
        typed, before = mine.get(name), opened.get(name) if opened is not None else None
        if name not in mine or typed == stored or (opened is not None and stored == before):
            continue
        if opened is not None and typed == before:
            values[name] = stored
            alone.append(name)
        else:
            both.append(name)
    return Merge(values, tuple(alone), tuple(both))


def merged_data(request: HttpRequest, merge: Merge, stored: Mapping[str, object], **more: str) -> QueryDict:
    """Return the typed form with the fields that only the other edit changed, as in `stored`, a form."""
    data = request.POST.copy()
    for name in (part for field in merge.theirs for part in PARTS.get(field, (field,))):
        value = stored.get(name)
        if isinstance(value, list | tuple):
            data.setlist(name, [str(each) for each in value])
        elif value in (False, None):
            data.pop(name, None)
        else:
            data[name] = "on" if value is True else str(value)
    for name, text in more.items():
        data[name] = text
    return data


def kept_words(pairs: Iterable[FieldPair]) -> str:
    """Return what a saved merge took over; `pairs` are the merged values beside the typed ones."""
    kept = ", ".join(f"{pair.label} {pair.theirs}" for pair in pairs if pair.differs)
    return f" Another edit was saved meanwhile. Its changes are kept: {kept}." if kept else ""


def _read_opened(request: HttpRequest) -> Mapping[str, object] | None:
    text = request.POST.get("opened", "")
    if not text or len(text) > MOST_OPENED:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
