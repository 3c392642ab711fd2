"""Template filters that put rules, settings and owners of chains into words. Must not read the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django import template

from dockerfw.chains.sentences import describe_tables
from dockerfw.document.document import DocumentRule, Expectation
from dockerfw.document.words import describe_expectation, describe_rule
from dockerfw.reach.sentences import describe_packet, describe_path, describe_place, describe_verdict
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.trace import Trace, TraceStep, Verdict
from rules.asking.trace_row_selectors import StepRow
from rules.pages import wording

register = template.Library()

_OWNERS = {
    "dockerfw": "ours",
    "docker": "Docker",
    "fail2ban": "fail2ban",
    "ufw": "ufw",
    "firewalld": "firewalld",
    "builtin": "built in",
    "other": "other",
}


@register.filter
def describe(rule: DocumentRule) -> str:
    """Put a rule into one line for people."""
    return describe_rule(rule)


@register.filter
def tables_words(tables: Sequence[str]) -> str:
    """Say who filters in nftables' own tables, which iptables does not show."""
    return describe_tables(tables)


@register.filter
def sentence(expectation: Expectation) -> str:
    """Put an expectation into one line for people."""
    return describe_expectation(expectation)


@register.filter
def changes_to(old: DocumentRule, new: DocumentRule) -> tuple[wording.FieldPair, ...]:
    """Return the fields in which the second rule differs from the first."""
    return wording.rule_changes(old, new)


@register.filter
def before(old: DocumentRule, new: DocumentRule) -> str:
    """Say in one sentence what of the first rule is not so in the second."""
    return wording.words_before(old, new)


@register.filter
def setting_label(name: str) -> str:
    """Name a setting as its form does."""
    return wording.SETTING_WORDS.get(name, name)


@register.filter
def setting_value(value: object, name: str) -> str:
    """Put a setting's value into words."""
    return wording.setting_words(name, value)


@register.filter
def scope_words(scope: str) -> str:
    """Put a scope into words."""
    return wording.SCOPE_WORDS.get(scope, scope)


@register.filter
def owner_word(owner: str) -> str:
    """Name the owner of a chain."""
    return _OWNERS.get(owner, owner)


@register.filter
def packet_words(packet: Packet) -> str:
    """Put a packet into one line."""
    return describe_packet(packet)


@register.filter
def verdict_words(verdict: Verdict) -> str:
    """Say what becomes of a packet."""
    return describe_verdict(verdict)


@register.filter
def way_words(trace: Trace) -> str:
    """Say where a packet goes on to."""
    return describe_path(trace)


@register.filter
def place_words(step: TraceStep) -> str:
    """Say where a rule or policy stands."""
    return describe_place(step)


@register.filter
def outcome_word(outcome: str) -> str:
    """Name what a step came to."""
    return "cannot tell" if outcome == "unknown" else outcome


@register.filter
def steps_count(rows: Iterable[StepRow]) -> int:
    """Count the rules that some steps stand for; a step may stand for many in a row."""
    return sum(max(row.step.last - row.step.number, 0) + 1 for row in rows)
