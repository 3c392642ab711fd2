"""The words for the fields of rules, settings and expectations, the same on every page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockerfw.document.document import DocumentRule, rule_to_json_object

SCOPE_WORDS = {"host": "host", "container": "containers", "both": "host and containers"}
PORT_KIND_WORDS = {"published": "published port", "container": "container port"}
SETTING_WORDS = {
    "external_interfaces": "External interfaces",
    "trusted_interfaces": "Trusted interfaces",
    "refuse": "Traffic that no rule allows",
    "icmp": "ICMP to the host",
    "heal_anchors": "Self-repair",
}
SETTING_VALUE_WORDS = {
    ("refuse", "reject"): "Reject (the client gets an error at once)",
    ("refuse", "drop"): "Drop (the client gets no answer)",
    ("icmp", "accept"): "Allow",
    ("icmp", "refuse"): "Refuse",
}
_FIELDS = ("scope", "protocol", "ports", "port_kind", "source", "comment", "enabled")
_LABELS = {
    "scope": "Applies to",
    "protocol": "Protocol",
    "ports": "Ports",
    "port_kind": "Kind of port",
    "source": "Source",
    "comment": "Comment",
    "enabled": "Enabled",
}

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
        return f"the comment \u201c{words}\u201d" if value else "no comment"
    if name == "enabled":
        return "enabled" if value else "disabled"
    return {"scope": "on {}", "protocol": "protocol {}", "source": "from {}"}.get(name, "{}").format(words)


def field_words(name: str, value: object) -> str:
    """Return one field of a rule in words."""
    if name == "enabled":
        return "yes" if value else "no"
    if name == "ports":
        return ", ".join(str(port) for port in value) if isinstance(value, Sequence) and value else "all"
    if name == "source":
        return "anywhere" if value in ("any", "", None) else str(value)
    if name == "scope":
        return SCOPE_WORDS.get(str(value), str(value))
    if name == "port_kind":
        return PORT_KIND_WORDS.get(str(value), str(value))
    return str(value) if value else "none"


def value_changes(before: object, after: object) -> tuple[FieldPair, ...]:
    """Return the fields in which two stored rules, settings or expectations differ, in words."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ()
    if "external_interfaces" in before:
        pairs = setting_pairs(before, after)
    elif "scope" in before:
        pairs = rule_pairs(before, after)
    elif "passes" in before:
        pairs = expectation_pairs(before, after)
    else:
        return ()
    return tuple(pair for pair in pairs if pair.differs)


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
    return field_words("source", value) if name == "source" else str(value or "none")


def setting_words(name: str, value: object) -> str:
    """Return one setting in words."""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value) or "none"
    if name == "heal_anchors":
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
