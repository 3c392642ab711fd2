"""The groups of a document: their validation and their JSON.

A static group is its entries. The entries of a feed, of names and of countries are bindings: a document has
only where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from dockerfw.document import fields, sentences
from dockerfw.document.fields import Problems
from dockerfw.document.rule_fields import group_of, is_group_name, source_order
from dockerfw.document.values import Document, DocumentRule, Group, GroupKind
from dockerfw.iptables.errors import DocumentError

MAX_GROUPS: Final = 1_000
MAX_ENTRIES: Final = 100_000
MAX_NAMES: Final = 100
MAX_URL: Final = 2_000
MAX_REFRESH_HOURS: Final = 8_760
KINDS: Final = ("static", "feed", "names", "countries")
# What each kind has beside `kind` and `comment`.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "static": ("entries",),
    "feed": ("url", "refresh_hours", "allow_http"),
    "names": ("names",),
    "countries": ("countries",),
}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<user>[^/?#@]*@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*))"
    r"(?::(?P<port>[0-9]{1,5}))?(?:[/?#][!-~]*)?",
    re.ASCII,
)


def validate_group(name: object, value: object, path: str = "") -> Group:
    """Validate one group; errors name the field, below `path` if given. Raises DocumentError."""
    problems = Problems()
    group = _group(name, value, path, problems)
    if group is None or problems.errors:
        raise DocumentError(tuple(problems.errors))
    return group


def read_groups(value: object, path: str, problems: Problems) -> tuple[Group, ...]:
    """Read an object of groups by name, sorted by name."""
    if not isinstance(value, Mapping):
        problems.error(path, sentences.not_an_object_of_groups(fields.shown(value)))
        return ()
    if len(value) > MAX_GROUPS:
        problems.error(path, sentences.too_many(len(value), "groups", MAX_GROUPS))
        return ()
    found = [_group(name, each, f"{path}.{fields.shown(name)}", problems) for name, each in value.items()]
    groups = tuple(sorted((each for each in found if each), key=lambda each: each.name))
    entries = sum(len(each.entries) for each in groups)
    if entries > MAX_ENTRIES:
        problems.error(path, sentences.too_many(entries, "entries of groups", MAX_ENTRIES))
    return groups


def group_to_json_object(group: Group) -> dict[str, Any]:
    """Return a group as a JSON object with every key of its kind, without its name."""
    values: dict[str, Any] = {"kind": group.kind}
    for key in _KEYS[group.kind]:
        value = getattr(group, key)
        values[key] = list(value) if isinstance(value, tuple) else value
    return {**values, "comment": group.comment}


def write_groups(groups: Iterable[Group]) -> dict[str, Any]:
    """Return groups as the JSON object of a document, without keys at their defaults but for the kind."""
    return {
        each.name: {
            "kind": each.kind,
            **fields.without_defaults(
                group_to_json_object(each), group_to_json_object(Group(each.name, each.kind))
            ),
        }
        for each in groups
    }


def rebuild_groups(values: Mapping[str, Any]) -> tuple[Group, ...]:
    """Return the groups of a JSON object that was valid when it was written."""
    groups = []
    for name, value in sorted(values.items()):
        found: dict[str, Any] = {
            key: tuple(each) if isinstance(each, list) else each for key, each in value.items()
        }
        groups.append(Group(name, **found))
    return tuple(groups)


def check_references(
    read: Iterable[tuple[str, DocumentRule]], groups: Sequence[Group], path: str, problems: Problems
) -> None:
    """Record an error for each source of a rule that names a group which the document has not."""
    names = {group.name for group in groups}
    for at, rule in read:
        for source in rule.sources:
            name = group_of(source)
            if name and name not in names:
                hint = fields.suggestion(name, names)
                problems.error(fields.join(at, path), sentences.unknown_group(source, hint))


def rules_naming(document: Document, name: str) -> Iterator[DocumentRule]:
    """Yield the rules of a document that have the group as a source."""
    source = f"@{name}"
    return (rule for rule in document.rules if source in rule.sources)


def _group(name: object, value: object, path: str, problems: Problems) -> Group | None:
    before = len(problems.errors)
    if not isinstance(name, str) or not is_group_name(name):
        problems.error(path, sentences.not_a_group_name(fields.shown(name)))
    if not isinstance(value, Mapping):
        problems.error(path, sentences.not_a_group(fields.shown(value)))
        return None

    def at(key: str) -> str:
        return fields.join(path, key)

    kind = fields.read_choice(value.get("kind", "static"), KINDS, at("kind"), problems)
    if kind is None:
        return None
    fields.check_keys(value, ("kind", "comment", *_KEYS[kind]), path, problems)
    comment = fields.read_comment(value.get("comment", ""), at("comment"), problems)
    found: dict[str, Any] = {}
    if kind == "static":
        found["entries"] = read_entries(value.get("entries", []), at("entries"), problems)
    elif kind == "feed":
        found["allow_http"] = fields.read_boolean(value.get("allow_http", False), at("allow_http"), problems)
        found["url"] = _url(value.get("url", ""), at("url"), problems, plain=bool(found["allow_http"]))
        found["refresh_hours"] = _hours(value.get("refresh_hours", 24), at("refresh_hours"), problems)
    elif kind == "names":
        found["names"] = _names(value.get("names", []), at("names"), problems)
    else:
        found["countries"] = _countries(value.get("countries", []), at("countries"), problems)
    if len(problems.errors) > before:
        return None
    return Group(cast(str, name), cast(GroupKind, kind), comment=cast(str, comment), **found)


def read_entries(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    """Read the list of addresses and networks of a static group, sorted and without duplicates."""
    if not isinstance(value, list | tuple):
        problems.error(path, sentences.not_a_list(fields.shown(value), "addresses and networks"))
        return ()
    if len(value) > MAX_ENTRIES:
        problems.error(path, sentences.too_many(len(value), "entries", MAX_ENTRIES))
        return ()
    found: set[str] = set()
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        if isinstance(item, str) and item.strip().startswith("@"):
            problems.error(here, sentences.GROUP_IN_GROUP)
            continue
        network = fields.read_source(item, here, problems)
        if network == "any" or (network and network.endswith("/0")):
            problems.error(here, sentences.EVERYONE_IN_GROUP)
        elif network in found:
            problems.note(here, sentences.duplicate_source(network))
        elif network:
            found.add(network)
    return tuple(sorted(found, key=source_order))


def _url(value: object, path: str, problems: Problems, *, plain: bool) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    found = _URL.fullmatch(text)
    if found is None or not 1 <= int(found["port"] or 443) <= 65535:
        problems.error(path, sentences.not_a_url(fields.shown(value)))
    elif len(text) > MAX_URL:
        problems.error(path, sentences.text_too_long(len(text), MAX_URL))
    elif found["user"]:
        problems.error(path, sentences.USER_IN_URL)
    elif found["scheme"] == "http" and not plain:
        problems.error(path, sentences.PLAIN_HTTP)
    return text


def _hours(value: object, path: str, problems: Problems) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_REFRESH_HOURS:
        return value
    problems.error(path, sentences.not_hours(fields.shown(value), MAX_REFRESH_HOURS))
    return 24


def _names(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    found = _texts(value, "DNS names", MAX_NAMES, path, problems)
    names: set[str] = set()
    for index, item in enumerate(found):
        text = item.strip().lower().rstrip(".") if isinstance(item, str) else ""
        labels = text.split(".")
        if len(text) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
            problems.error(f"{path}[{index}]", sentences.not_a_dns_name(fields.shown(item)))
        names.add(text)
    return tuple(sorted(names))


def _countries(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    found = _texts(value, "countries", 300, path, problems)
    codes: set[str] = set()
    for index, item in enumerate(found):
        text = item.strip().upper() if isinstance(item, str) else ""
        if not _COUNTRY.fullmatch(text):
            problems.error(f"{path}[{index}]", sentences.not_a_country(fields.shown(item)))
        codes.add(text)
    return tuple(sorted(codes))


def _texts(value: object, items: str, most: int, path: str, problems: Problems) -> Sequence[object]:
    """Return a list that has at least one item and at most `most`, or record an error."""
    if not isinstance(value, list | tuple):
        problems.error(path, sentences.not_a_list(fields.shown(value), items))
    elif len(value) > most:
        problems.error(path, sentences.too_many(len(value), items, most))
    elif not value:
        problems.error(path, sentences.none_given(items))
    else:
        return value
    return ()
