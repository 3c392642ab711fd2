"""Template filters that put rules, settings, packets and chains into words. They read no database."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django import template
from django.utils import timezone

from dockerfw.chains.group_sizes import GroupSize
from dockerfw.chains.sentences import describe_redirecting_tables, describe_tables
from dockerfw.document.catalogue import service_name
from dockerfw.document.diff import GroupChange
from dockerfw.document.document import DocumentRule, Expectation, Group
from dockerfw.document.group_words import describe_addresses
from dockerfw.document.group_words import describe_group as group_words
from dockerfw.document.groups import group_to_json_object
from dockerfw.document.rule_fields import group_of
from dockerfw.document.words import (
    describe_expectation,
    describe_limit,
    describe_network,
    describe_rule,
    describe_time,
)
from dockerfw.iptables.model import Family
from dockerfw.reach.offers import Offer
from dockerfw.reach.rule_warnings import RuleWarning
from dockerfw.reach.sentences import describe_packet, describe_path, describe_place, describe_verdict
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.trace import Trace, TraceStep, Verdict
from rules.asking.exposure_line_selectors import By
from rules.asking.trace_row_selectors import ChainVisit, StepRow
from rules.draft.rule_selectors import RuleRow
from rules.pages import wording
from rules.templatetags.dockerfw import duration

register = template.Library()
_GROUP = re.compile(r"@([a-z0-9][a-z0-9._-]{0,39})")

_SOON_SECONDS = 3 * 86_400

_OWNERS = {
    "dockerfw": "dockerfw",
    "docker": "Docker",
    "fail2ban": "fail2ban",
    "ufw": "ufw",
    "firewalld": "firewalld",
    "kubernetes": "Kubernetes",
    "libvirt": "libvirt",
    "tailscale": "Tailscale",
    "crowdsec": "CrowdSec",
    "builtin": "built in",
    "other": "other",
}


@register.filter
def addresses(size: GroupSize) -> list[str]:
    """Return how many addresses of each IP version a group has, thousands separated as by `amount`."""
    return [words.replace(",", "\u202f") for words in describe_addresses(size.addresses4, size.addresses6)]


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
def describe_group(group: Group) -> str:
    """Return a group in one line, without its entries."""
    return group_words(group)


@register.filter
def group_changes(change: GroupChange) -> tuple[wording.FieldPair, ...]:
    """Return the fields of a changed group that differ, but for the entries."""
    assert change.old is not None
    assert change.new is not None
    before, after = ({**group_to_json_object(group), "entries": ()} for group in (change.old, change.new))
    return tuple(pair for pair in wording.group_pairs(before, after) if pair.differs)


@register.filter
def group_name(source: str) -> str:
    """Return the name of the group that a source names, empty for an address or a network."""
    return group_of(source)


@register.filter
def with_groups(text: str, known: Collection[str]) -> list[tuple[str, str]]:
    """Split a sentence at the groups that it names: pairs of a text and, for a known group, its name."""
    found: list[tuple[str, str]] = []
    for number, piece in enumerate(_GROUP.split(text)):
        if number % 2:
            found.append((f"@{piece}", piece if piece in known else ""))
        elif piece:
            found.append((piece, ""))
    return found


@register.filter
def network_words(network: str) -> str:
    """Return a network without the prefix length of a single address."""
    return describe_network(network)


@register.filter
def service_of(rule: DocumentRule) -> str:
    """Return the name of the common service that a rule is for, empty where it has none."""
    return service_name(rule.protocol, rule.ports)


@register.filter
def limit_words(limit: str) -> str:
    """Return a limit in words: `6 a minute`."""
    return describe_limit(limit)


@register.filter
def attention(warnings: Iterable[RuleWarning] | None) -> bool:
    """Return True if one of the warnings says that a rule probably does not do what its author wants."""
    return any(each.needs_attention for each in warnings or ())


@dataclass(frozen=True, slots=True)
class Mark:
    """One short note beside the name of a rule, with its tone and the exact times."""

    text: str
    tone: str = ""
    exactly: str = ""


_CHANGE_MARKS = {
    "new": Mark("New", "info"),
    "changed": Mark("Changed", "info"),
    "removed": Mark("Removed", "bad"),
}


@register.filter
def marks_of(row: RuleRow) -> list[Mark]:
    """Return the marks of a rule: the pending change, a block, its times, disabled, unused."""
    rule = row.rule
    found = [_CHANGE_MARKS[row.mark]] if row.mark else []
    if rule.action == "block":
        found.append(Mark("Block", "bad"))
    if (times := time_mark(rule)) is not None:
        found.append(times)
    if not rule.enabled:
        found.append(Mark("Off"))
    if rule.enabled and row.last_use and row.last_use.last is None and row.hits and not row.hits.packets:
        found.append(Mark("Unused"))
    return found


@register.filter
def time_mark(rule: DocumentRule) -> Mark | None:
    """Return when a rule begins or ends, amber for within three days, None for a rule without times."""
    if not rule.starts and not rule.expires:
        return None
    now = timezone.now()
    exactly = ", ".join(
        f"{word} {describe_time(text)}"
        for word, text in (("starts", rule.starts), ("expires", rule.expires))
        if text
    )
    left = (datetime.fromisoformat(rule.expires) - now).total_seconds() if rule.expires else None
    if left is not None and left <= 0:
        return Mark("Ended", "warn", exactly)
    before = (datetime.fromisoformat(rule.starts) - now).total_seconds() if rule.starts else 0
    if before > 0:
        return Mark(f"Starts in {duration(before)}", "", exactly)
    if left is None:
        return None
    return Mark(f"Ends in {duration(left)}", "warn" if left < _SOON_SECONDS else "", exactly)


@register.filter
def group_kind(kind: str) -> str:
    """Return the kind of a group in words."""
    return wording.GROUP_KIND_WORDS.get(kind, kind)


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
