"""Plans and differences as text and as JSON, for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dockerfw.chains.plan import FamilyPlan, Plan, PlanLine
from dockerfw.document.diff import DocumentDiff
from dockerfw.document.document import expectation_to_json_object, rule_to_json_object
from dockerfw.document.words import describe_expectation, describe_rule
from dockerfw.reach.differences import Difference


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield a plan as text; an empty plan ends with a line that says so."""
    for family, part in sorted(plan.families.items()):
        yield from _family_lines(family, part)
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
        "added": [rule_to_json_object(rule) for rule in diff.added],
        "removed": [rule_to_json_object(rule) for rule in diff.removed],
        "changed": [
            {"old": rule_to_json_object(old), "new": rule_to_json_object(new)} for old, new in diff.changed
        ],
        "expected": [expectation_to_json_object(each) for each in diff.expected],
        "not_expected": [expectation_to_json_object(each) for each in diff.not_expected],
    }


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
        yield f"{name} = {len(part.unchanged)} dockerfw rules stay, {rules} other rules do not change"


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


def _line_json(line: PlanLine) -> dict[str, Any]:
    return {
        "chain": line.chain,
        "text": line.text,
        "rule": line.rule_id,
        "packets": line.packets,
        "bytes": line.bytes,
    }
