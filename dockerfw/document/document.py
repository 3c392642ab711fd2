"""The dockerfw/1 document: its values, its one validator, its canonical JSON and its digest.

A document is what an admin wants: settings, a set of rules and a set of expectations, in no order. This
module turns objects out of JSON into a `Document` or into every error found, each with its path. It knows
nothing of chains.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, cast

from dockerfw.document import fields
from dockerfw.document.bounded_json import read_json
from dockerfw.document.expectations import expectation_to_json_object, read_expectations, validate_expectation
from dockerfw.document.fields import Findings, Note
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

SCOPES: Final = ("host", "container", "both")
PORT_KINDS: Final = ("published", "container")
_DOCUMENT_KEYS: Final = ("format", "settings", "rules", "expectations")
_RULE_KEYS: Final = ("id", "scope", "source", "protocol", "ports", "port_kind", "comment", "enabled")


def load_document(text: bytes | str) -> Document:
    """Read a document from JSON text of at most 4 MiB. Raises DocumentError."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        raise _whole(f"the document has {len(raw)} bytes (at most {MAX_BYTES})")
    try:
        value = read_json(raw)
    except JsonError as error:
        raise _whole(str(error)) from None
    return parse_document(value)


def parse_document(value: object) -> Document:
    """Validate an object out of JSON. Raises DocumentError with every error found."""
    if not isinstance(value, dict):
        raise _whole(f"{fields.shown(value)} is not a document: an object with format, settings and rules is")
    findings = Findings()
    fields.known_keys(value, _DOCUMENT_KEYS, "", findings)
    if value.get("format") != FORMAT:
        given = fields.shown(value["format"]) if "format" in value else "nothing"
        findings.error("format", f'{given} is not "{FORMAT}"')
    settings = read_settings(value.get("settings", {}), "settings", findings)
    drafts = _rules(value.get("rules", []), findings)
    expectations = read_expectations(value.get("expectations", []), "expectations", findings)
    if findings.errors:
        raise DocumentError(tuple(findings.errors))
    rules = _with_ids(drafts, findings)
    return Document(settings, tuple(sorted(rules, key=rule_order)), expectations, tuple(findings.notes))


def make_document(
    settings: Settings, rules: tuple[DocumentRule, ...], expectations: tuple[Expectation, ...] = ()
) -> Document:
    """Assemble a document from values that are valid already; sorts rules and expectations."""
    return Document(
        settings,
        tuple(sorted(rules, key=rule_order)),
        tuple(sorted(set(expectations), key=expectation_order)),
    )


def validate_rule(value: object, path: str = "") -> DocumentRule:
    """Validate one rule; errors name the field (`ports[0]`), below `path` if given. Raises DocumentError."""
    findings = Findings()
    rule = _rule(value, path, findings)
    if rule is None or findings.errors:
        raise DocumentError(tuple(findings.errors))
    return rule if rule.id else replace(rule, id=_derived_id(rule, set()))


def to_json_object(document: Document) -> dict[str, Any]:
    """Return the document as JSON's objects.

    Every key is written out but those that came later and are at their default: the digests of documents
    from before stay as they are.
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
    """Return the one JSON text of a document: sorted keys, sorted rules, no blanks."""
    return json.dumps(to_json_object(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=4)
def digest(document: Document) -> str:
    """Return the SHA-256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical_json(document).encode("utf-8")).hexdigest()


def _whole(message: str) -> DocumentError:
    return DocumentError((FieldError("", message),))


def _rules(value: object, findings: Findings) -> list[tuple[str, DocumentRule]]:
    if not isinstance(value, list | tuple):
        findings.error("rules", f"{fields.shown(value)} is not a list of rules")
        return []
    if len(value) > MAX_RULES:
        findings.error("rules", f"{len(value)} rules are too many (at most {MAX_RULES})")
        return []
    rules: list[tuple[str, DocumentRule]] = []
    ids: dict[str, str] = {}
    for index, item in enumerate(value):
        path = f"rules[{index}]"
        rule = _rule(item, path, findings)
        if rule is None:
            continue
        if rule.id and rule.id in ids:
            findings.error(f"{path}.id", f"{rule.id} is the id of {ids[rule.id]} too")
        elif rule.id:
            ids[rule.id] = path
        rules.append((path, rule))
    return rules


def _rule(value: object, path: str, findings: Findings) -> DocumentRule | None:
    """One rule; its id is empty when none was given."""
    if not isinstance(value, Mapping):
        findings.error(
            path, f"{fields.shown(value)} is not a rule: an object with scope, source, protocol, ports is"
        )
        return None
    before = len(findings.errors)
    fields.known_keys(value, _RULE_KEYS, path, findings)

    def at(key: str) -> str:
        return fields.join(path, key)

    if "scope" in value:
        scope = fields.choice(value["scope"], SCOPES, at("scope"), findings)
    else:
        scope = None
        findings.error(at("scope"), "is missing: say host, container or both")
    identifier = "" if value.get("id") is None else fields.rule_id(value["id"], at("id"), findings)
    source = fields.source(value.get("source", "any"), at("source"), findings)
    protocol = fields.protocol(value.get("protocol", "any"), at("protocol"), findings)
    ports = _ports(value.get("ports", []), at("ports"), findings)
    kind = fields.choice(value.get("port_kind", "published"), PORT_KINDS, at("port_kind"), findings)
    comment = fields.comment(value.get("comment", ""), at("comment"), findings)
    enabled = fields.boolean(value.get("enabled", True), at("enabled"), findings)
    _check_together(scope, source, protocol, ports, kind, path, findings)
    if len(findings.errors) > before:
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


def _ports(value: object, path: str, findings: Findings) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple):
        findings.error(
            path, f"{fields.shown(value)} is not a list of ports: write [22] or [22, 8000-8010] as texts"
        )
        return None
    if len(value) > fields.MAX_PORTS:
        findings.error(path, f"{len(value)} ports are too many for one rule (at most {fields.MAX_PORTS})")
        return None
    seen: list[str] = []
    for index, item in enumerate(value):
        port = fields.port(item, f"{path}[{index}]", findings)
        if port in seen:
            findings.note(f"{path}[{index}]", f"{port} is there twice: it is kept once")
        elif port is not None:
            seen.append(port)
    return tuple(sorted(seen, key=fields.port_range))


def _check_together(
    scope: str | None,
    source: str | None,
    protocol: str | None,
    ports: tuple[str, ...] | None,
    kind: str | None,
    path: str,
    findings: Findings,
) -> None:
    """Record what is wrong between fields; None stands for a field that has an error of its own."""
    if ports and protocol is not None and protocol not in PROTOCOLS_WITH_PORTS:
        known = f"{', '.join(PROTOCOLS_WITH_PORTS[:-1])} and {PROTOCOLS_WITH_PORTS[-1]} have ports"
        what = "a rule for any protocol has none" if protocol == "any" else f"{protocol} has none"
        findings.error(fields.join(path, "ports"), f"{what}: only {known}")
    if kind == CONTAINER_KIND and scope == "host":
        findings.error(
            fields.join(path, "port_kind"),
            "container is for rules that reach containers; this one's scope is host",
        )
    elif kind == CONTAINER_KIND and ports == ():
        findings.error(
            fields.join(path, "port_kind"), "container needs ports: it says where they are counted"
        )
    if protocol == "ipv6-icmp" and source is not None and source != "any" and ":" not in source:
        findings.error(
            fields.join(path, "protocol"),
            f'ipv6-icmp never comes from an IPv4 source ({source}): write "icmp"',
        )


def _with_ids(drafts: list[tuple[str, DocumentRule]], findings: Findings) -> list[DocumentRule]:
    """Give rules without an id one made of what they match, whatever their order; drop exact repeats."""
    taken = {rule.id for _, rule in drafts if rule.id}
    rules = [rule for _, rule in drafts if rule.id]
    nameless: dict[DocumentRule, str] = {}
    for path, rule in drafts:
        if rule.id:
            continue
        if rule in nameless:
            findings.note(path, f"the same rule as {nameless[rule]}: it is kept once")
        else:
            nameless[rule] = path
    for rule in sorted(nameless, key=lambda rule: (rule_order(rule), rule.scope, rule.comment, rule.enabled)):
        identifier = _derived_id(rule, taken)
        taken.add(identifier)
        rules.append(replace(rule, id=identifier))
    return rules


def _derived_id(rule: DocumentRule, taken: set[str]) -> str:
    """Return an id made of what the rule matches, so that a new comment keeps it the same rule."""
    content = [rule.scope, rule.source, rule.protocol, list(rule.ports), rule.port_kind]
    attempt = 0
    while True:
        text = json.dumps([*content, attempt]).encode("utf-8")
        identifier = hashlib.sha256(text).hexdigest()[:8]
        if identifier not in taken:
            return identifier
        attempt += 1
