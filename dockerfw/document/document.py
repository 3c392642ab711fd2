"""The dockerfw/1 document: its validator, its canonical JSON and its digest.

A document is what an admin wants: settings, a set of rules and a set of expectations. The validator turns a
JSON object into a `Document`, or into every error found, each with its path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, cast

from dockerfw.document import fields, sentences
from dockerfw.document.bounded_json import read_json
from dockerfw.document.expectations import expectation_to_json_object, read_expectations, validate_expectation
from dockerfw.document.fields import Note, Problems
from dockerfw.document.settings import read_settings, settings_to_json_object, validate_settings
from dockerfw.document.values import (
    Document,
    DocumentRule,
    Expectation,
    PortKind,
    Scope,
    Settings,
    expectation_order,
    rule_order,
)
from dockerfw.iptables.errors import DocumentError, FieldError, JsonError
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

__all__ = [
    "CONTAINER_KIND",
    "FORMAT",
    "MAX_BYTES",
    "MAX_RULES",
    "Document",
    "DocumentRule",
    "Expectation",
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

FORMAT: Final = "dockerfw/1"
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_RULES: Final = 20_000
CONTAINER_KIND: Final = "container"
# A document may say it, or leave the ports empty, which means the same; a form has to say it.
ALL_PORTS: Final = "all"

SCOPES: Final = ("host", "container", "both")
PORT_KINDS: Final = ("published", "container")
_DOCUMENT_KEYS: Final = ("format", "settings", "rules", "expectations")
_RULE_KEYS: Final = ("id", "scope", "source", "protocol", "ports", "port_kind", "comment", "enabled")


def load_document(text: bytes | str) -> Document:
    """Read a document from JSON text of at most 4 MiB. Raises DocumentError."""
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
    fields.check_keys(value, _DOCUMENT_KEYS, "", problems)
    if value.get("format") != FORMAT:
        given = fields.shown(value["format"]) if "format" in value else "nothing"
        problems.error("format", sentences.wrong_format(given, FORMAT))
    settings = read_settings(value.get("settings", {}), "settings", problems)
    read = _rules(value.get("rules", []), problems)
    expectations = read_expectations(value.get("expectations", []), "expectations", problems)
    if problems.errors:
        raise DocumentError(tuple(problems.errors))
    rules = _with_ids(read, problems)
    return Document(settings, tuple(sorted(rules, key=rule_order)), expectations, tuple(problems.notes))


def make_document(
    settings: Settings, rules: tuple[DocumentRule, ...], expectations: tuple[Expectation, ...] = ()
) -> Document:
    """Return a document made of valid values, with rules and expectations sorted."""
    return Document(
        settings,
        tuple(sorted(rules, key=rule_order)),
        tuple(sorted(set(expectations), key=expectation_order)),
    )


def validate_rule(value: object, path: str = "") -> DocumentRule:
    """Validate one rule; errors name the field (`ports[0]`), below `path` if given. Raises DocumentError."""
    problems = Problems()
    rule = _rule(value, path, problems)
    if rule is None or problems.errors:
        raise DocumentError(tuple(problems.errors))
    return rule if rule.id else replace(rule, id=_derived_id(rule, set()))


def to_json_object(document: Document) -> dict[str, Any]:
    """Return the document as a JSON object.

    Every key is included, except later additions to the format that have their default value: so the digests
    of older documents stay the same.
    """
    settings = settings_to_json_object(document.settings)
    if not document.settings.heal_anchors:
        del settings["heal_anchors"]
    value: dict[str, Any] = {
        "format": FORMAT,
        "settings": settings,
        "rules": [rule_to_json_object(rule) for rule in document.rules],
    }
    if document.expectations:
        value["expectations"] = [expectation_to_json_object(each) for each in document.expectations]
    return value


def rule_to_json_object(rule: DocumentRule) -> dict[str, Any]:
    """Return a rule as a JSON object."""
    return {
        "id": rule.id,
        "scope": rule.scope,
        "source": rule.source,
        "protocol": rule.protocol,
        "ports": list(rule.ports),
        "port_kind": rule.port_kind,
        "comment": rule.comment,
        "enabled": rule.enabled,
    }


@lru_cache(maxsize=4)
def canonical_json(document: Document) -> str:
    """Return the canonical JSON text of a document: sorted keys, sorted rules, no blanks."""
    return json.dumps(to_json_object(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=4)
def digest(document: Document) -> str:
    """Return the SHA-256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical_json(document).encode("utf-8")).hexdigest()


def _document_error(message: str) -> DocumentError:
    return DocumentError((FieldError("", message),))


def _rules(value: object, problems: Problems) -> list[tuple[str, DocumentRule]]:
    if not isinstance(value, list | tuple):
        problems.error("rules", sentences.not_a_list(fields.shown(value), "rules"))
        return []
    if len(value) > MAX_RULES:
        problems.error("rules", sentences.too_many(len(value), "rules", MAX_RULES))
        return []
    rules: list[tuple[str, DocumentRule]] = []
    ids: dict[str, str] = {}
    for index, item in enumerate(value):
        path = f"rules[{index}]"
        rule = _rule(item, path, problems)
        if rule is None:
            continue
        if rule.id and rule.id in ids:
            problems.error(f"{path}.id", sentences.duplicate_id(rule.id, ids[rule.id]))
        elif rule.id:
            ids[rule.id] = path
        rules.append((path, rule))
    return rules


def _rule(value: object, path: str, problems: Problems) -> DocumentRule | None:
    """Read one rule; its id is empty if none was given."""
    if not isinstance(value, Mapping):
        problems.error(path, sentences.not_a_rule(fields.shown(value)))
        return None
    before = len(problems.errors)
    fields.check_keys(value, _RULE_KEYS, path, problems)

    def at(key: str) -> str:
        return fields.join(path, key)

    if "scope" in value:
        scope = fields.read_choice(value["scope"], SCOPES, at("scope"), problems)
    else:
        scope = None
        problems.error(at("scope"), sentences.MISSING_SCOPE)
    identifier = "" if value.get("id") is None else fields.read_rule_id(value["id"], at("id"), problems)
    source = fields.read_source(value.get("source", "any"), at("source"), problems)
    protocol = fields.read_protocol(value.get("protocol", "any"), at("protocol"), problems)
    ports = _ports(value.get("ports", []), at("ports"), problems)
    kind = fields.read_choice(value.get("port_kind", "published"), PORT_KINDS, at("port_kind"), problems)
    comment = fields.read_comment(value.get("comment", ""), at("comment"), problems)
    enabled = fields.read_boolean(value.get("enabled", True), at("enabled"), problems)
    _check_combination(scope, source, protocol, ports, kind, path, problems)
    if len(problems.errors) > before:
        return None
    return DocumentRule(
        cast(str, identifier),
        cast(Scope, scope),
        cast(str, source),
        cast(str, protocol),
        cast(tuple[str, ...], ports),
        cast(PortKind, kind),
        cast(str, comment),
        cast(bool, enabled),
    )


def _ports(value: object, path: str, problems: Problems) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple):
        problems.error(path, sentences.not_a_list_of_ports(fields.shown(value)))
        return None
    if list(value) == [ALL_PORTS]:
        return ()
    if len(value) > fields.MAX_PORTS:
        problems.error(path, sentences.too_many(len(value), "ports", fields.MAX_PORTS))
        return None
    seen: list[str] = []
    for index, item in enumerate(value):
        port = fields.read_port(item, f"{path}[{index}]", problems)
        if port is not None and port in seen:
            problems.note(f"{path}[{index}]", sentences.duplicate_port(port))
        elif port is not None:
            seen.append(port)
    return tuple(sorted(seen, key=fields.port_range))


def _check_combination(
    scope: str | None,
    source: str | None,
    protocol: str | None,
    ports: tuple[str, ...] | None,
    kind: str | None,
    path: str,
    problems: Problems,
) -> None:
    """Record errors between fields; None stands for a field that has an error of its own."""
    if ports and protocol is not None and protocol not in PROTOCOLS_WITH_PORTS:
        problems.error(
            fields.join(path, "ports"), sentences.ports_not_allowed(protocol, PROTOCOLS_WITH_PORTS)
        )
    if kind == CONTAINER_KIND and scope == "host":
        problems.error(fields.join(path, "port_kind"), sentences.CONTAINER_PORTS_ON_HOST)
    elif kind == CONTAINER_KIND and ports == ():
        problems.error(fields.join(path, "port_kind"), sentences.CONTAINER_PORTS_MISSING)
    if protocol == "ipv6-icmp" and source is not None and source != "any" and ":" not in source:
        problems.error(fields.join(path, "protocol"), sentences.icmpv6_from_ipv4(source))


def _with_ids(read: list[tuple[str, DocumentRule]], problems: Problems) -> list[DocumentRule]:
    """Give rules without an id one derived from what they match, in any order; drop exact duplicates."""
    taken = {rule.id for _, rule in read if rule.id}
    rules = [rule for _, rule in read if rule.id]
    without_id: dict[DocumentRule, str] = {}
    for path, rule in read:
        if rule.id:
            continue
        if rule in without_id:
            problems.note(path, sentences.duplicate_rule(without_id[rule]))
        else:
            without_id[rule] = path
    for rule in sorted(
        without_id, key=lambda rule: (rule_order(rule), rule.scope, rule.comment, rule.enabled)
    ):
        identifier = _derived_id(rule, taken)
        taken.add(identifier)
        rules.append(replace(rule, id=identifier))
    return rules


def _derived_id(rule: DocumentRule, taken: set[str]) -> str:
    """Return an id derived from what the rule matches, so that a new comment does not change it."""
    content = [rule.scope, rule.source, rule.protocol, list(rule.ports), rule.port_kind]
    attempt = 0
    while True:
        text = json.dumps([*content, attempt]).encode("utf-8")
        identifier = hashlib.sha256(text).hexdigest()[:8]
        if identifier not in taken:
            return identifier
        attempt += 1
