"""Plans and differences as text and as JSON, for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dockerfw.chains.plan import FamilyPlan, Plan, PlanLine
from dockerfw.chains.set_plan import SetChange
from dockerfw.chains.static_sets import MOST_LINES
from dockerfw.document.diff import DocumentDiff, GroupChange
from dockerfw.document.document import Group, expectation_to_json_object, rule_to_json_object
from dockerfw.document.group_words import describe_group
from dockerfw.document.groups import group_to_json_object
from dockerfw.document.words import describe_expectation, describe_rule, join_words
from dockerfw.reach.differences import Difference

LOG_WORDS = {
    "adds": "refused packets are logged from then on",
    "removes": "refused packets are not logged any more",
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield a plan as text; an empty plan ends with a line that says so."""
    for family, part in sorted(plan.families.items()):
        yield from _family_lines(family, part)
        yield from (
            f"IPv{family} {change.sign} {change.sentence}" for change in plan.sets if change.family == family
        )
    if plan.logs:
        yield LOG_WORDS[plan.logs]
    for warning in plan.warnings:
        yield f"warning: {warning.message}"
    for refusal in plan.refusals:
        yield f"refused: {refusal.message}"
    if plan.relabel:
        yield "dockerfw's chains in the kernel already match: only their label changes"
    if plan.empty:
        yield "nothing to do: the kernel already holds these rules"


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values."""
    return {
        "empty": plan.empty,
        "relabel": plan.relabel,
        "families": {str(family): _family_json(part) for family, part in sorted(plan.families.items())},
        **({"logs": plan.logs} if plan.logs else {}),
        **({"sets": [_set_json(change) for change in plan.sets]} if plan.sets else {}),
        "warnings": [
            {"code": warning.code, "message": warning.message, "family": warning.family}
            for warning in plan.warnings
        ],
        "refusals": [
            {"code": refusal.code, "message": refusal.message, "family": refusal.family}
            for refusal in plan.refusals
        ],
    }


def packet_lines(packets: Iterable[Difference]) -> Iterator[str]:
    """Yield a line for each difference between the packets that pass today and after a load."""
    signs = {"closes": "-", "opens": "+", "unknown": "?"}
    yield from (f"{signs[each.kind]} {each.sentence}" for each in packets)


def packets_json(packets: Iterable[Difference]) -> list[dict[str, str]]:
    """Return the same as JSON values."""
    return [{"kind": each.kind, "sentence": each.sentence} for each in packets]


def diff_lines(diff: DocumentDiff) -> Iterator[str]:
    """Yield a sentence, then a line for each change."""
    yield diff.sentence
    for change in diff.settings:
        yield f"~ {change.name}: {change.old} becomes {change.new}"
    for group in diff.groups:
        yield from _group_lines(group)
    for rule in diff.added:
        yield f"+ {describe_rule(rule)}"
    for rule in diff.removed:
        yield f"- {describe_rule(rule)}"
    for old, new in diff.changed:
        yield f"~ {describe_rule(old)} becomes {describe_rule(new)}"
    for expectation in diff.expected:
        yield f"+ expected: {describe_expectation(expectation)}"
    for expectation in diff.not_expected:
        yield f"- expected: {describe_expectation(expectation)}"


def diff_json(diff: DocumentDiff) -> dict[str, Any]:
    """Return a difference as JSON values."""
    return {
        "count": diff.count,
        "sentence": diff.sentence,
        "settings": [{"name": change.name, "old": change.old, "new": change.new} for change in diff.settings],
        "groups": [
            {"name": each.name, "old": _group_json(each.old), "new": _group_json(each.new)}
            for each in diff.groups
        ],
        "added": [rule_to_json_object(rule) for rule in diff.added],
        "removed": [rule_to_json_object(rule) for rule in diff.removed],
        "changed": [
            {"old": rule_to_json_object(old), "new": rule_to_json_object(new)} for old, new in diff.changed
        ],
        "expected": [expectation_to_json_object(each) for each in diff.expected],
        "not_expected": [expectation_to_json_object(each) for each in diff.not_expected],
    }


def _group_lines(change: GroupChange) -> Iterator[str]:
    if change.new is None:
        assert change.old is not None
        yield f"- {describe_group(change.old)}"
        return
    yield f"{'~' if change.old else '+'} {describe_group(change.new)}"
    if change.old is not None:
        for sign, entries in (("+", change.added), ("-", change.removed)):
            if entries:
                yield f"    {sign} {join_words(entries, most=20)}"


def _group_json(group: Group | None) -> dict[str, Any] | None:
    return group_to_json_object(group) if group else None


def _family_lines(family: int, part: FamilyPlan) -> Iterator[str]:
    name = f"IPv{family}"
    created = (*part.creates, *(("DOCKER-USER",) if part.creates_docker_user else ()))
    for chain in created:
        yield f"{name} + chain {chain}"
    for line in part.adopted:
        yield f"{name} - {line.chain} {line.text} (from the manual setup, replaced)"
    for line in part.removed:
        yield f"{name} - {line.chain} {line.text}"
    for line in part.added:
        yield f"{name} + {line.chain} {line.text}"
    for anchor in part.anchors:
        yield f"{name} {anchor.action} jump: {anchor.chain} {anchor.text}"
    for reordered in part.reordered:
        yield f"{name} ~ {reordered}: order of rules"
    if part.foreign:
        rules = sum(chain.rules for chain in part.foreign)
        yield f"{name} = {len(part.held)} dockerfw rules stay, {rules} other rules do not change"


def _family_json(part: FamilyPlan) -> dict[str, Any]:
    return {
        "added": [_line_json(line) for line in part.added],
        "removed": [_line_json(line) for line in part.removed],
        "unchanged": [_line_json(line) for line in part.unchanged],
        "adopted": [_line_json(line) for line in part.adopted],
        "reordered": list(part.reordered),
        "anchors": [
            {"action": anchor.action, "chain": anchor.chain, "text": anchor.text} for anchor in part.anchors
        ],
        "creates": list(part.creates),
        "creates_docker_user": part.creates_docker_user,
        "foreign": [
            {"table": chain.table, "chain": chain.chain, "rules": chain.rules, "owner": chain.owner}
            for chain in part.foreign
        ],
    }


def _set_json(change: SetChange) -> dict[str, Any]:
    return {
        "family": change.family,
        "kind": change.kind,
        "name": change.name,
        "before": change.before,
        "entries": change.entries,
        "added": None if change.added is None else len(change.added),
        "removed": None if change.removed is None else len(change.removed),
        "first_added": list((change.added or ())[:MOST_LINES]),
        "first_removed": list((change.removed or ())[:MOST_LINES]),
    }


def _line_json(line: PlanLine) -> dict[str, Any]:
    return {
        "chain": line.chain,
        "text": line.text,
        "rule": line.rule_id,
        "packets": line.packets,
        "bytes": line.bytes,
    }
