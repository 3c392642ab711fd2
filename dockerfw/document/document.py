"""The document: its validator, its canonical JSON and its digest.

A document is what an admin wants: settings, a set of rules and a set of expectations. The validator turns a
JSON object into a `Document`, or into every error found, each with its path.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any, Final

from dockerfw.document import fields, sentences
from dockerfw.document.bounded_json import read_json
from dockerfw.document.container_definitions import check_definitions
from dockerfw.document.expectations import (
    EXPECTATION_DEFAULTS,
    expectation_to_json_object,
    read_expectations,
    validate_expectation,
)
from dockerfw.document.fields import Note, Problems
from dockerfw.document.formats import FORMAT_1, FORMAT_2, FORMATS, needed_format
from dockerfw.document.groups import check_references, read_groups, write_groups
from dockerfw.document.rules import (
    CONTAINER_KIND,
    MAX_RULES,
    add_ids,
    check_interfaces,
    read_rules,
    rule_to_json_object,
    validate_rule,
    write_rule,
)
from dockerfw.document.settings import (
    read_settings,
    settings_to_json_object,
    validate_settings,
    write_settings,
)
from dockerfw.document.values import (
    Document,
    DocumentRule,
    Expectation,
    Group,
    Settings,
    expectation_order,
    rule_order,
)
from dockerfw.iptables.errors import DocumentError, FieldError, JsonError

__all__ = [
    "CONTAINER_KIND",
    "FORMAT_1",
    "FORMAT_2",
    "MAX_BYTES",
    "MAX_RULES",
    "Document",
    "DocumentRule",
    "Expectation",
    "Group",
    "Note",
    "Settings",
    "canonical_json",
    "digest",
    "expectation_to_json_object",
    "load_document",
    "make_document",
    "parse_document",
    "rule_order",
    "rule_to_json_object",
    "settings_to_json_object",
    "to_json_object",
    "validate_expectation",
    "validate_rule",
    "validate_settings",
]

MAX_BYTES: Final = 16 * 1024 * 1024
_KEYS_OF_1: Final = ("format", "settings", "rules", "expectations")
_KEYS_OF_2: Final = ("format", "settings", "groups", "rules", "expectations")


def load_document(text: bytes | str) -> Document:
    """Read a document from JSON text of at most 16 MiB. Raises DocumentError."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        raise _document_error(sentences.document_too_long(len(raw), MAX_BYTES))
    try:
        value = read_json(raw)
    except JsonError as error:
        raise _document_error(str(error)) from None
    return parse_document(value)


def parse_document(value: object) -> Document:
    """Validate a JSON object. Raises DocumentError with every error found."""
    if not isinstance(value, dict):
        raise _document_error(sentences.not_a_document(fields.shown(value)))
    problems = Problems()
    layout = value.get("format")
    if layout == FORMAT_1:
        fields.check_keys(value, _KEYS_OF_1, "", problems, newer=("groups",))
    else:
        fields.check_keys(value, _KEYS_OF_2, "", problems)
    if layout not in FORMATS:
        given = fields.shown(layout) if "format" in value else "nothing"
        problems.error("format", sentences.wrong_format(given, FORMATS))
        layout = ""
    groups = read_groups(value.get("groups", {}) if layout != FORMAT_1 else {}, "groups", problems)
    settings = read_settings(value.get("settings", {}), "settings", problems, earlier=layout == FORMAT_1)
    read = read_rules(value.get("rules", []), "rules", problems, layout)
    expectations = read_expectations(value.get("expectations", []), "expectations", problems)
    check_references(read, groups, "sources", problems)
    check_interfaces(read, settings.external_interfaces, problems)
    check_definitions(read, problems)
    if problems.errors:
        raise DocumentError(tuple(problems.errors))
    rules = tuple(sorted(add_ids(read, problems), key=rule_order))
    return Document(settings, rules, expectations, tuple(problems.notes), groups)


def make_document(
    settings: Settings,
    rules: tuple[DocumentRule, ...],
    expectations: tuple[Expectation, ...] = (),
    groups: tuple[Group, ...] = (),
) -> Document:
    """Return a document made of valid values, with rules, expectations and groups sorted."""
    return Document(
        settings,
        tuple(sorted(rules, key=rule_order)),
        tuple(sorted(set(expectations), key=expectation_order)),
        groups=tuple(sorted(groups, key=lambda group: group.name)),
    )


def to_json_object(document: Document) -> dict[str, Any]:
    """Return the document as a JSON object of the oldest format that can say it.

    In `dockerfw/1` every key is included, except later additions that have their default value. In
    `dockerfw/2` no key at its default is. So the digests of older documents stay the same.
    """
    layout = needed_format(document)
    settings = write_settings(document.settings, layout)
    expectations = [expectation_to_json_object(each) for each in document.expectations]
    rules = [write_rule(rule, layout) for rule in document.rules]
    if layout == FORMAT_1:
        value: dict[str, Any] = {"format": layout, "settings": settings, "rules": rules}
        return {**value, "expectations": expectations} if expectations else value
    lists = {
        "settings": settings,
        "groups": write_groups(document.groups),
        "rules": rules,
        "expectations": [fields.without_defaults(each, EXPECTATION_DEFAULTS) for each in expectations],
    }
    return {"format": layout, **{key: found for key, found in lists.items() if found}}


@lru_cache(maxsize=4)
def canonical_json(document: Document) -> str:
    """Return the canonical JSON text of a document: sorted keys, sorted rules, no blanks."""
    return json.dumps(to_json_object(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(document: Document) -> str:
    """Return the SHA-256 of the canonical JSON, 64 hex digits; the document remembers it."""
    if not document._digest:
        found = hashlib.sha256(canonical_json(document).encode("utf-8")).hexdigest()
        object.__setattr__(document, "_digest", found)
    return document._digest


def _document_error(message: str) -> DocumentError:
    return DocumentError((FieldError("", message),))
