"""Documents that the root worker wrote down itself, rebuilt by their digest instead of validated again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockerfw.document.document import digest, parse_document
from dockerfw.document.expectations import EXPECTATION_DEFAULTS
from dockerfw.document.groups import rebuild_groups
from dockerfw.document.rules import rebuild_rule
from dockerfw.document.values import Document, Expectation, Settings
from dockerfw.iptables.errors import DocumentError, FieldError


def read_stored(value: object, expected: str) -> Document:
    """Return the document of a canonical JSON object whose digest is `expected`.

    The digest is over every field, so an object with the digest of a validated document holds the same
    fields. An object in another form, such as one of an earlier release, is validated. Raises DocumentError,
    also when the digest differs.
    """
    try:
        document = _rebuild(value)
        if digest(document) == expected:
            return document
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    document = parse_document(value)
    if digest(document) != expected:
        raise DocumentError((FieldError("", f"its digest is not {expected}"),))
    return document


def _rebuild(value: Any) -> Document:
    """Return the document of an object that was valid when it was written."""
    return Document(
        Settings(**_with_tuples(value.get("settings", {}))),
        tuple(rebuild_rule(rule) for rule in value.get("rules", ())),
        tuple(Expectation(**{**EXPECTATION_DEFAULTS, **each}) for each in value.get("expectations", ())),
        groups=rebuild_groups(value.get("groups", {})),
    )


def _with_tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
