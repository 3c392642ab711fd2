"""Warnings about a rule's times, limit and groups, and about blocks that leave it without effect.

They need no packet: each compares a rule with the draft. container_warnings.py is about rules by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.document.rule_fields import group_of
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import DocumentRule, Group
from dockerfw.document.words import describe_rule, describe_time
from dockerfw.reach import warning_sentences as sentences
from dockerfw.reach.rule_warnings import RuleWarning

# One page with its pictures and scripts, over connections that are not kept.
LEAST_FOR_BROWSERS: Final = 30
_WEB_PORTS: Final = (80, 443)
_A_MINUTE: Final = {"second": 60.0, "minute": 1.0, "hour": 1 / 60}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the conditions of rules are compared with.

    `now` is a canonical time of UTC. `hidden_by` has the block for each allowance that has no effect.
    """

    now: str
    groups: Mapping[str, Group]
    hidden_by: Mapping[str, DocumentRule] | None = None


def condition_warnings(rule: DocumentRule, around: Conditions) -> tuple[RuleWarning, ...]:
    """Return the warnings about an enabled rule; none about a disabled one."""
    return tuple(_find(rule, around)) if rule.enabled else ()


def hides_warning(hidden: Sequence[DocumentRule]) -> RuleWarning | None:
    """Return the warning about a block that leaves allowances without effect, None without any."""
    if not hidden:
        return None
    named = [rule.comment or describe_rule(rule) for rule in hidden]
    return RuleWarning("hides", sentences.hides(named))


def _find(rule: DocumentRule, around: Conditions) -> Iterator[RuleWarning]:
    if rule.expires and rule.expires <= around.now:
        words = sentences.expired(describe_time(rule.expires), allowed=rule.action == "allow")
        yield RuleWarning("expired", words)
    if _is_tight(rule):
        number, _, unit = rule.limit.partition("/")
        yield RuleWarning("tight-limit", sentences.tight_limit(number, unit, LEAST_FOR_BROWSERS))
    yield from _empty_groups(rule, around.groups)
    block = (around.hidden_by or {}).get(rule.id)
    if block is not None:
        yield RuleWarning("hidden", sentences.hidden(block.comment or describe_rule(block)))


def _is_tight(rule: DocumentRule) -> bool:
    number, _, unit = rule.limit.partition("/")
    if not re.fullmatch("[0-9]+", number) or rule.protocol != "tcp":
        return False
    is_web = bool(rule.ports) and any(includes_port(rule, port) for port in _WEB_PORTS)
    return is_web and int(number) * _A_MINUTE[unit] < LEAST_FOR_BROWSERS


def _empty_groups(rule: DocumentRule, groups: Mapping[str, Group]) -> Iterator[RuleWarning]:
    named = [groups[name] for source in rule.sources if (name := group_of(source)) in groups]
    empty = [f"@{group.name}" for group in named if group.kind == "static" and not group.entries]
    if empty:
        only = len(empty) == len(rule.sources)
        yield RuleWarning("empty-group", sentences.empty_groups(empty, only=only))
