"""The words for the fields of rules, settings and expectations, the same on every page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockerfw.document.document import DocumentRule, rule_to_json_object
from dockerfw.document.group_words import describe_entries
from dockerfw.document.rules import upgrade_rule
from dockerfw.document.words import join_words

SCOPE_WORDS = {
    "host": "host",
    "container": "containers",
    "both": "host and containers",
    "forwarded": "forwarded traffic",
}
PORT_KIND_WORDS = {"published": "published port", "container": "container port"}
SETTING_WORDS = {
    "external_interfaces": "External interfaces",
    "trusted_interfaces": "Trusted interfaces",
    "refuse": "Traffic that no rule allows",
    "icmp": "ICMP to the host",
    "containers_reach_host": "Containers reach this host",
    "log_refused": "Log refused packets",
    "heal_anchors": "Self-repair",
}
SETTING_VALUE_WORDS = {
    ("refuse", "reject"): "Reject (the client gets an error at once)",
    ("refuse", "drop"): "Drop (the client gets no answer)",
    ("icmp", "accept"): "Allow",
    ("icmp", "refuse"): "Refuse",
    ("containers_reach_host", "by-rules"): "By rules",
    ("containers_reach_host", "allow"): "Always",
}
_FIELDS = (
    *(
        "action",
        "scope",
        "container",
        "to",
        "interface",
        "protocol",
        "ports",
        "port_kind",
        "sources",
        "limit",
    ),
    *("starts", "expires", "comment", "owner", "ticket", "tags", "enabled"),
)
_LABELS = {
    "action": "Action",
    "scope": "Applies to",
    "container": "Container",
    "interface": "Interface",
    "limit": "Limit",
    "starts": "Starts",
    "expires": "Expires",
    "owner": "Owner",
    "ticket": "Ticket",
    "tags": "Tags",
    "to": "Destination",
    "protocol": "Protocol",
    "ports": "Ports",
    "port_kind": "Kind of port",
    "sources": "Sources",
    "comment": "Name",
    "enabled": "Enabled",
}
_BEFORE = {
    "scope": "on {}",
    "protocol": "protocol {}",
    "sources": "from {}",
    "to": "to {}",
    "container": "for container {}",
    "interface": "on interface {}",
    "limit": "limit {}",
    "starts": "starts {}",
    "expires": "expires {}",
    "owner": "owner {}",
    "ticket": "ticket {}",
    "tags": "tags {}",
}
_NONE_BEFORE = {
    "to": "no destination",
    "container": "for all containers",
    "interface": "on any interface",
    "limit": "no limit",
    "starts": "no start",
    "expires": "no expiry",
    "owner": "no owner",
    "ticket": "no ticket",
    "tags": "no tags",
}

GROUP_KIND_WORDS = {
    "static": "addresses and networks",
    "feed": "feed",
    "names": "DNS names",
    "countries": "countries",
}
_GROUP_LABELS = {
    "name": "Name",
    "kind": "Kind",
    "entries": "Entries",
    "url": "URL",
    "refresh_hours": "Fetched again after (hours)",
    "allow_http": "Plain http",
    "names": "DNS names",
    "countries": "Countries",
    "comment": "Comment",
}
_MOST_ENTRIES = 8
_EXPECTATION_LABELS = {
    "passes": "Expected result",
    "protocol": "Protocol",
    "port": "Port",
    "source": "Source",
    "to": "Target",
    "container": "Container",
    "comment": "Comment",
}


@dataclass(frozen=True, slots=True)
class FieldPair:
    """One field of two rules or settings, side by side."""

    label: str
    theirs: str
    mine: str

    @property
    def differs(self) -> bool:
        """Return True if the two sides differ."""
        return self.theirs != self.mine


def rule_values(rule: DocumentRule) -> dict[str, object]:
    """Return a document rule's fields by name, as a form or a service takes them."""
    return {key: value for key, value in rule_to_json_object(rule).items() if key != "id"}


def rule_pairs(theirs: Mapping[str, object], mine: Mapping[str, object]) -> tuple[FieldPair, ...]:
    """Return the values of two rules side by side, in words."""
    return tuple(
        FieldPair(_LABELS[name], field_words(name, theirs.get(name)), field_words(name, mine.get(name)))
        for name in _FIELDS
        if name in theirs and name in mine
    )


def rule_changes(old: DocumentRule, new: DocumentRule) -> tuple[FieldPair, ...]:
    """Return the fields in which two versions of a rule differ, `theirs` being the old one."""
    return tuple(pair for pair in rule_pairs(rule_values(old), rule_values(new)) if pair.differs)


def words_before(old: DocumentRule, new: DocumentRule) -> str:
    """Return the fields of an old rule that the new one changes: `Before: port 22, from anywhere.`"""
    before, after = rule_values(old), rule_values(new)
    parts = [_before(name, before[name]) for name in _FIELDS if before[name] != after[name]]
    return f"Before: {', '.join(parts)}."


def _before(name: str, value: object) -> str:
    words = field_words(name, value)
    if name == "ports":
        count = len(value) if isinstance(value, Sequence) else 0
        return f"{'port' if count == 1 and '-' not in words else 'ports'} {words}" if count else "all ports"
    if name == "comment":
        return f"the name \u201c{words}\u201d" if value else "no name"
    if name in _NONE_BEFORE and not value:
        return _NONE_BEFORE[name]
    if name == "enabled":
        return "enabled" if value else "disabled"
    return _BEFORE.get(name, "{}").format(words)


def field_words(name: str, value: object) -> str:
    """Return one field of a rule in words."""
    if name == "enabled":
        return "yes" if value else "no"
    if name == "ports":
        return ", ".join(str(port) for port in value) if isinstance(value, Sequence) and value else "all"
    if name == "sources":
        return _sources_words(value)
    if name == "tags":
        return ", ".join(map(str, value)) if isinstance(value, Sequence) and value else "none"
    if name == "scope":
        return SCOPE_WORDS.get(str(value), str(value))
    if name == "port_kind":
        return PORT_KIND_WORDS.get(str(value), str(value))
    return str(value) if value else "none"


def _sources_words(value: object) -> str:
    """Return the sources of a rule, or the one source of an expectation or of an earlier release's rule."""
    sources = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    return ", ".join(map(str, sources)) if sources and sources not in (["any"], [""]) else "anywhere"


def value_changes(before: object, after: object) -> tuple[FieldPair, ...]:
    """Return the fields in which two stored rules, settings or expectations differ, in words."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ()
    if "external_interfaces" in before:
        pairs = setting_pairs(before, after)
    elif "scope" in before:
        pairs = rule_pairs(_upgraded(before), _upgraded(after))
    elif "passes" in before:
        pairs = expectation_pairs(before, after)
    elif "kind" in before:
        pairs = group_pairs(before, after)
    else:
        return ()
    return tuple(pair for pair in pairs if pair.differs)


def _upgraded(rule: Mapping[str, object]) -> Mapping[str, object]:
    """Return a rule of the audit log with every field, also those that came later."""
    return {**rule_to_json_object(DocumentRule("", "both")), **upgrade_rule(rule)}


def expectation_pairs(theirs: Mapping[str, object], mine: Mapping[str, object]) -> tuple[FieldPair, ...]:
    """Return the values of two expectations side by side, in words."""
    return tuple(
        FieldPair(label, _expectation_words(name, theirs.get(name)), _expectation_words(name, mine.get(name)))
        for name, label in _EXPECTATION_LABELS.items()
    )


def _expectation_words(name: str, value: object) -> str:
    if name == "passes":
        return "passes" if value else "is refused"
    if name == "to":
        return "container" if value == "container" else "host"
    return field_words("sources", value) if name == "source" else str(value or "none")


def group_pairs(theirs: Mapping[str, object], mine: Mapping[str, object]) -> tuple[FieldPair, ...]:
    """Return the values of two groups side by side, in words; of entries, those that only one side has."""
    return tuple(
        FieldPair(label, _group_words(name, theirs, mine), _group_words(name, mine, theirs))
        for name, label in _GROUP_LABELS.items()
        if name in theirs or name in mine
    )


def _group_words(name: str, values: Mapping[str, object], others: Mapping[str, object]) -> str:
    value = values.get(name)
    if name == "kind":
        return GROUP_KIND_WORDS.get(str(value), str(value))
    if name == "allow_http":
        return "yes" if value else "no"
    if name != "entries" or not isinstance(value, Sequence):
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "none")
    rest = others.get(name)
    known = set(rest) if isinstance(rest, list | tuple) else set()
    alone = [str(each) for each in value if each not in known]
    count = values.get("entry_count", len(value))
    text = describe_entries(count if isinstance(count, int) else len(value))
    return f"{text}, only here {join_words(alone, most=_MOST_ENTRIES)}" if alone else text


def setting_words(name: str, value: object) -> str:
    """Return one setting in words."""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value) or "none"
    if name in ("heal_anchors", "log_refused"):
        return "yes" if value in (True, "yes") else "no"
    return SETTING_VALUE_WORDS.get((name, str(value)), str(value))


def setting_pairs(theirs: Mapping[str, object], mine: Mapping[str, object]) -> tuple[FieldPair, ...]:
    """Return two hosts' settings side by side, in words."""
    return tuple(
        FieldPair(label, setting_words(name, theirs.get(name)), setting_words(name, mine.get(name)))
        for name, label in SETTING_WORDS.items()
    )


def describe_age(seconds: float) -> str:
    """Return a length of time in one unit."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 86_400:.0f} days"


def from_the_future(seconds: float) -> str:
    """Return when a snapshot from the future was taken, for the middle of a sentence."""
    return f"at a time that is {describe_age(seconds)} in the future (set the clocks of host and dashboard)"
