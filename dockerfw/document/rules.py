"""The rules of a document: their validation and their JSON.

`dockerfw/1` has one `source` for each rule and allowances only. `dockerfw/2` has a list of `sources` and all
other keys, and leaves out those at their defaults. Forms and imports use the keys of `dockerfw/2`, and may
still have `source`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from dockerfw.document import fields, sentences
from dockerfw.document.fields import Problems
from dockerfw.document.formats import FORMAT_1, FORMAT_2
from dockerfw.document.rule_fields import (
    families_of,
    group_of,
    read_container,
    read_limit,
    read_sources,
    read_tags,
    read_time,
    read_word,
)
from dockerfw.document.values import DocumentRule, rule_order
from dockerfw.iptables.errors import DocumentError
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

MAX_RULES: Final = 20_000
CONTAINER_KIND: Final = "container"
# A document may say it, or leave the ports empty, which means the same; a layout has to say it.
ALL_PORTS: Final = "all"

ACTIONS: Final = ("allow", "block")
SCOPES: Final = ("host", "container", "both", "forwarded")
PORT_KINDS: Final = ("published", "container")
_SCOPES_OF_1: Final = SCOPES[:3]
_REST: Final = ("protocol", "ports", "port_kind", "comment", "enabled")
_KEYS_OF_1: Final = ("id", "scope", "source", *_REST)
# What only `dockerfw/2` has.
_NEWER_KEYS: Final = (
    *("action", "sources", "to", "container", "interface", "limit", "starts", "expires"),
    *("owner", "ticket", "tags"),
)
_KEYS_OF_2: Final = ("id", "action", "scope", *_NEWER_KEYS[1:], *_REST)
# Protocols whose ports Docker publishes, so that a container's can be followed.
_CONTAINER_PROTOCOLS: Final = ("tcp", "udp", "sctp")


def validate_rule(value: object, path: str = "") -> DocumentRule:
    """Validate one rule; errors name the field (`ports[0]`), below `path` if given. Raises DocumentError."""
    problems = Problems()
    rule = _rule(value, path, problems, "")
    if rule is None or problems.errors:
        raise DocumentError(tuple(problems.errors))
    return rule if rule.id else replace(rule, id=_derived_id(rule, set()))


def read_rules(value: object, path: str, problems: Problems, layout: str) -> list[tuple[str, DocumentRule]]:
    """Read the list of rules of a format, each with its path; `add_ids` completes them."""
    if not isinstance(value, list | tuple):
        problems.error(path, sentences.not_a_list(fields.shown(value), "rules"))
        return []
    if len(value) > MAX_RULES:
        problems.error(path, sentences.too_many(len(value), "rules", MAX_RULES))
        return []
    rules: list[tuple[str, DocumentRule]] = []
    ids: dict[str, str] = {}
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        rule = _rule(item, here, problems, layout)
        if rule is None:
            continue
        if rule.id and rule.id in ids:
            problems.error(f"{here}.id", sentences.duplicate_id(rule.id, ids[rule.id]))
        elif rule.id:
            ids[rule.id] = here
        rules.append((here, rule))
    return rules


def rule_to_json_object(rule: DocumentRule) -> dict[str, Any]:
    """Return a rule as a JSON object with every key, as forms have it."""
    return {
        "id": rule.id,
        "action": rule.action,
        "scope": rule.scope,
        "sources": list(rule.sources),
        "to": rule.to,
        "container": rule.container,
        "interface": rule.interface,
        "protocol": rule.protocol,
        "ports": list(rule.ports),
        "port_kind": rule.port_kind,
        "limit": rule.limit,
        "starts": rule.starts,
        "expires": rule.expires,
        "comment": rule.comment,
        "owner": rule.owner,
        "ticket": rule.ticket,
        "tags": list(rule.tags),
        "enabled": rule.enabled,
    }


def write_rule(rule: DocumentRule, layout: str) -> dict[str, Any]:
    """Return a rule as a JSON object of a format."""
    if layout == FORMAT_1:
        return {
            "id": rule.id,
            "scope": rule.scope,
            "protocol": rule.protocol,
            "ports": list(rule.ports),
            "port_kind": rule.port_kind,
            "comment": rule.comment,
            "enabled": rule.enabled,
            "source": rule.sources[0] if rule.sources else "any",
        }
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key in _DEFAULTS
        if (value := getattr(rule, key)) != getattr(_DEFAULT_RULE, key)
    }


def upgrade_rule(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a rule with the list `sources` instead of `source`."""
    rest = {key: value for key, value in values.items() if key != "source"}
    source = values.get("source", "any")
    return rest if source == "any" else {**rest, "sources": [source]}


def rebuild_rule(values: Mapping[str, Any]) -> DocumentRule:
    """Return the rule of a JSON object that was valid when it was written, in either format."""
    found: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in upgrade_rule(values).items()
    }
    return DocumentRule(**{"scope": "both", **found})


def add_ids(read: list[tuple[str, DocumentRule]], problems: Problems) -> list[DocumentRule]:
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
    for rule in sorted(without_id, key=lambda rule: (rule_order(rule), _identity(rule))):
        identifier = _derived_id(rule, taken)
        taken.add(identifier)
        rules.append(replace(rule, id=identifier))
    return rules


def _rule(value: object, path: str, problems: Problems, layout: str) -> DocumentRule | None:
    """Read one rule of a format, as web forms have it if that is empty; its id is empty if none was given."""
    if not isinstance(value, Mapping):
        problems.error(path, sentences.not_a_rule(fields.shown(value)))
        return None
    before = len(problems.errors)
    _check_keys(value, path, problems, layout)
    if layout == FORMAT_1 and not value.keys().isdisjoint(_NEWER_KEYS):
        value = {key: each for key, each in value.items() if key not in _NEWER_KEYS}

    within = f"{path}." if path else ""
    identifier = "" if value.get("id") is None else fields.read_rule_id(value["id"], f"{within}id", problems)
    found: dict[str, Any] = {**_WITHOUT_KEYS}
    if "action" in value:
        found["action"] = _action(value["action"], f"{within}action", problems)
    found["scope"] = _scope(value, f"{within}scope", problems, layout)
    found["sources"] = _sources(value, within, problems)
    # A rule mostly has a few of them.
    for key, reader in _READERS:
        if key in value:
            found[key] = reader(value[key], within + key, problems)
    _check_ports(found["scope"], found["protocol"], found["ports"], found["port_kind"], path, problems)
    _check_addresses(found["scope"], found["sources"], found["to"], found["protocol"], path, problems)
    if len(problems.errors) > before:
        return None
    rule = DocumentRule(cast(str, identifier), **found)
    check_rule(rule, path, problems)
    return rule if len(problems.errors) == before else None


def check_rule(rule: DocumentRule, path: str, problems: Problems) -> None:
    """Record errors between the fields of a rule that are each valid."""

    def error(key: str, message: str) -> None:
        problems.error(fields.join(path, key), message)

    if rule.container:
        if rule.scope != "container":
            error("container", sentences.CONTAINER_OF_OTHER_SCOPE)
        elif rule.to:
            error("to", sentences.DESTINATION_AND_CONTAINER)
        elif rule.protocol not in _CONTAINER_PROTOCOLS:
            error("protocol", sentences.protocol_of_container(rule.protocol))
        elif not rule.ports:
            error("ports", sentences.PORTS_OF_CONTAINER_MISSING)
    if rule.starts and rule.expires and rule.starts >= rule.expires:
        error("expires", sentences.ends_before_it_starts(rule.starts))
    if rule.action != "block":
        return
    if rule.limit:
        error("limit", sentences.LIMIT_ON_BLOCK)
    if not rule.sources and not rule.ports and not rule.to and rule.protocol == "any":
        error("sources", sentences.BLOCKS_EVERYTHING)
    if rule.container:
        error("container", sentences.CONTAINER_ON_BLOCK)


def check_interfaces(
    read: list[tuple[str, DocumentRule]], external: tuple[str, ...], problems: Problems
) -> None:
    """Record an error for each rule for containers whose interface our chains see no such traffic of."""
    for path, rule in read:
        if rule.interface and rule.scope != "host":
            name = rule.interface
            if not any(fields.interface_covers(each, name) for each in external):
                known = ", ".join(external)
                problems.error(fields.join(path, "interface"), sentences.not_external(name, known))


def _check_keys(value: Mapping[object, object], path: str, problems: Problems, layout: str) -> None:
    if layout == FORMAT_1:
        fields.check_keys(value, _KEYS_OF_1, path, problems, newer=_NEWER_KEYS)
    elif layout == FORMAT_2 and "source" in value:
        problems.error(fields.join(path, "source"), sentences.ONE_SOURCE)
        fields.check_keys(value, (*_KEYS_OF_2, "source"), path, problems)
    else:
        fields.check_keys(value, _KEYS_OF_2 if layout else (*_KEYS_OF_2, "source"), path, problems)


def _scope(value: Mapping[object, object], path: str, problems: Problems, layout: str) -> str | None:
    if "scope" not in value and layout == FORMAT_2:
        return "both"
    if "scope" not in value:
        problems.error(path, sentences.MISSING_SCOPE)
        return None
    if layout == FORMAT_1 and value["scope"] == "forwarded":
        problems.error(path, sentences.NEWER_SCOPE)
        return None
    return fields.read_choice(value["scope"], _SCOPES_OF_1 if layout == FORMAT_1 else SCOPES, path, problems)


def _sources(value: Mapping[object, object], within: str, problems: Problems) -> tuple[str, ...] | None:
    if "source" not in value:
        return read_sources(value.get("sources", []), f"{within}sources", problems)
    source = value["source"]
    if isinstance(source, str) and group_of(source.strip()):
        return read_sources([source], f"{within}source", problems)
    found = fields.read_source(source, f"{within}source", problems)
    return None if found is None else () if found == "any" else (found,)


def _action(value: object, path: str, problems: Problems) -> str | None:
    return fields.read_choice(value, ACTIONS, path, problems)


def _port_kind(value: object, path: str, problems: Problems) -> str | None:
    return fields.read_choice(value, PORT_KINDS, path, problems)


def _interface(value: object, path: str, problems: Problems) -> str | None:
    return "" if value == "" else fields.read_interface(value, path, problems)


def _destination(value: object, path: str, problems: Problems) -> str | None:
    """Read an address or a network, or an empty text; canonical is network/prefix."""
    if value == "":
        return ""
    network = fields.read_source(value, path, problems)
    if network == "any" or (network and network.endswith("/0")):
        problems.error(path, sentences.EVERY_DESTINATION)
        return None
    return network


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
    return tuple(sorted(seen, key=fields.port_range) if len(seen) > 1 else seen)


_READERS: Final[tuple[tuple[str, Callable[[object, str, Problems], Any]], ...]] = (
    ("to", _destination),
    ("container", read_container),
    ("interface", _interface),
    ("protocol", fields.read_protocol),
    ("ports", _ports),
    ("port_kind", _port_kind),
    ("limit", read_limit),
    ("starts", read_time),
    ("expires", read_time),
    ("comment", fields.read_comment),
    ("owner", read_word),
    ("ticket", read_word),
    ("tags", read_tags),
    ("enabled", fields.read_boolean),
)
# What a rule is without its keys; its scope and its sources are always read.
_WITHOUT_KEYS: Final[Mapping[str, Any]] = {
    "action": ACTIONS[0],
    "to": "",
    "container": "",
    "interface": "",
    "protocol": "any",
    "ports": (),
    "port_kind": PORT_KINDS[0],
    "limit": "",
    "starts": "",
    "expires": "",
    "comment": "",
    "owner": "",
    "ticket": "",
    "tags": (),
    "enabled": True,
}


def _check_ports(
    scope: str | None,
    protocol: str | None,
    ports: tuple[str, ...] | None,
    kind: str | None,
    path: str,
    problems: Problems,
) -> None:
    """Record errors between the ports and other fields; None is a field that has an error of its own."""
    if ports and protocol is not None and protocol not in PROTOCOLS_WITH_PORTS:
        problems.error(
            fields.join(path, "ports"), sentences.ports_not_allowed(protocol, PROTOCOLS_WITH_PORTS)
        )
    if kind == CONTAINER_KIND and scope == "host":
        problems.error(fields.join(path, "port_kind"), sentences.CONTAINER_PORTS_ON_HOST)
    elif kind == CONTAINER_KIND and ports == ():
        problems.error(fields.join(path, "port_kind"), sentences.CONTAINER_PORTS_MISSING)


def _check_addresses(
    scope: str | None,
    sources: tuple[str, ...] | None,
    to: str | None,
    protocol: str | None,
    path: str,
    problems: Problems,
) -> None:
    """Record errors between sources, destination and protocol; None is a field with an error of its own."""
    if scope == "forwarded" and to == "":
        problems.error(fields.join(path, "to"), sentences.MISSING_DESTINATION)
    if not to and protocol != "ipv6-icmp":
        return
    named = [(each, "source") for each in sources or () if not group_of(each)]
    if to:
        # Groups may have addresses of either IP version.
        family: Family = 6 if ":" in to else 4
        if named and len(named) == len(sources or ()) and family not in families_of(sources or ()):
            problems.error(fields.join(path, "to"), sentences.families_differ(named[0][0], to))
            return
        named.append((to, "destination"))
    if protocol == "ipv6-icmp":
        for each, words in named:
            if ":" not in each:
                problems.error(fields.join(path, "protocol"), sentences.icmpv6_over_ipv4(each, words))
                break


def _derived_id(rule: DocumentRule, taken: set[str]) -> str:
    """Return an id derived from what the rule matches, so that a new comment does not change it."""
    sources: Any = rule.sources[0] if len(rule.sources) == 1 else list(rule.sources) or "any"
    content = [rule.scope, sources, rule.protocol, list(rule.ports), rule.port_kind]
    if rule.to:
        content.append(rule.to)
    if newer := [(key, getattr(rule, key)) for key in _MATCHES_OF_2 if getattr(rule, key) != _DEFAULTS[key]]:
        content.append(newer)
    attempt = 0
    while True:
        text = json.dumps([*content, attempt]).encode("utf-8")
        identifier = hashlib.sha256(text).hexdigest()[:8]
        if identifier not in taken:
            return identifier
        attempt += 1


def _identity(rule: DocumentRule) -> tuple[object, ...]:
    """Return every field, in the order in which rules without an id have always been sorted."""
    first = (rule.scope, rule.to, rule.comment, rule.enabled)
    return (*first, *(getattr(rule, key) for key in _MATCHES_OF_2), rule.owner, rule.ticket, rule.tags)


_DEFAULT_RULE: Final = DocumentRule("", "both")
_DEFAULTS: Final = rule_to_json_object(_DEFAULT_RULE)
_MATCHES_OF_2: Final = ("action", "container", "interface", "limit", "starts", "expires")
