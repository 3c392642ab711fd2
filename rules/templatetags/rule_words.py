"""Template filters that put rules, settings, packets and chains into words. They read no database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from django import template

from dockerfw.chains.sentences import describe_redirecting_tables, describe_tables
from dockerfw.document.document import DocumentRule, Expectation
from dockerfw.document.words import describe_expectation, describe_rule
from dockerfw.iptables.model import Family
from dockerfw.reach.offers import Offer
from dockerfw.reach.sentences import describe_packet, describe_path, describe_place, describe_verdict
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.trace import Trace, TraceStep, Verdict
from rules.asking.exposure_line_selectors import By
from rules.asking.trace_row_selectors import ChainVisit, StepRow
from rules.pages import wording

register = template.Library()

_OWNERS = {
    "dockerfw": "dockerfw",
    "docker": "Docker",
    "fail2ban": "fail2ban",
    "ufw": "ufw",
    "firewalld": "firewalld",
    "builtin": "built in",
    "other": "other",
}


@register.filter
def describe(rule: DocumentRule) -> str:
    """Return a rule in one line."""
    return describe_rule(rule)


@register.filter
def tables_words(tables: Sequence[str]) -> str:
    """Return which other tables filter, which iptables does not show."""
    return describe_tables(tables)


@register.filter
def redirecting_words(tables: Sequence[str]) -> str:
    """Return which other tables redirect packets, which iptables does not show."""
    return describe_redirecting_tables(tables)


@register.filter
def sentence(expectation: Expectation) -> str:
    """Return an expectation in one line."""
    return describe_expectation(expectation)


@register.filter
def changes_to(old: DocumentRule, new: DocumentRule) -> tuple[wording.FieldPair, ...]:
    """Return the fields in which the second rule differs from the first."""
    return wording.rule_changes(old, new)


@register.filter
def before(old: DocumentRule, new: DocumentRule) -> str:
    """Return in one sentence what the first rule has that the second has not."""
    return wording.words_before(old, new)


@register.filter
def setting_label(name: str) -> str:
    """Return the label that a setting has in its form."""
    return wording.SETTING_WORDS.get(name, name)


@register.filter
def setting_value(value: object, name: str) -> str:
    """Return a setting's value in words."""
    return wording.setting_words(name, value)


@register.filter
def scope_words(scope: str) -> str:
    """Return a scope in words."""
    return wording.SCOPE_WORDS.get(scope, scope)


@register.filter
def owner_word(owner: str) -> str:
    """Return the name of a chain's owner."""
    return _OWNERS.get(owner, owner)


@register.filter
def packet_words(packet: Packet) -> str:
    """Return a packet in one line."""
    return describe_packet(packet)


@register.filter
def verdict_words(verdict: Verdict) -> str:
    """Return the verdict on a packet as a sentence."""
    return describe_verdict(verdict)


@register.filter
def way_words(trace: Trace) -> str:
    """Return where a packet goes on to."""
    return describe_path(trace)


@register.filter
def place_words(step: TraceStep) -> str:
    """Return the place of a rule or policy."""
    return describe_place(step)


@register.filter
def outcome_word(outcome: str) -> str:
    """Return the word for a step's outcome."""
    return "cannot tell" if outcome == "unknown" else outcome


@register.filter
def steps_count(rows: Iterable[StepRow]) -> int:
    """Count the rules of some steps; one step may be many rules in a row."""
    return sum(max(row.step.last - row.step.number, 0) + 1 for row in rows)


@register.filter
def verdict_tone(kind: str) -> str:
    """Return the colour of a verdict: passes, unknown or refused."""
    return {"ACCEPT": "passes", "UNKNOWN": "unknown"}.get(kind, "refused")


@register.filter
def verdict_icon(kind: str) -> str:
    """Return the icon of a verdict."""
    return {"ACCEPT": "check", "UNKNOWN": "unknown"}.get(kind, "cross")


@register.filter
def level_icon(level: str) -> str:
    """Return the icon of a level of exposure."""
    return {"anywhere": "world", "networks": "some", "nobody": "cross"}.get(level, "unknown")


@register.filter
def live_query(place: By | StepRow | ChainVisit, family: Family) -> str:
    """Return the part of the live page's address that leads to a chain, on the page that has the rule."""
    values: dict[str, object] = {"family": family, "chain": place.anchor}
    page = 1 if isinstance(place, ChainVisit) else place.page
    if page > 1:
        values["page"] = page
    return f"?{urlencode(values)}#{place.anchor}"


@register.filter
def trace_query(offer: Offer) -> str:
    """Return the part of the trace page's address that asks for a packet to a port."""
    values: dict[str, object] = {"port": offer.port, "protocol": offer.protocol}
    if offer.address:
        values["destination"] = offer.address
    return f"?{urlencode(values)}"
