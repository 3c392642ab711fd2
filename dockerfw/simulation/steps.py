"""The steps of a trace: the events of a walk, with the rules in between that did not match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dockerfw.simulation import sentences
from dockerfw.simulation.trace import StepOutcome, TraceStep
from dockerfw.simulation.walk import Event, Visit

_MAX_SEPARATE_RULES = 25
# Packets that match one of these never reach the rules after it, only the policy.
_LEAVING_CHAIN = ("RETURN", "GOTO")


def list_steps(events: Iterable[Event]) -> tuple[TraceStep, ...]:
    """Return the steps of a walk; more than 25 consecutive rules that do not match are one step."""
    positions: dict[Visit, int] = {}
    left: set[Visit] = set()
    steps: list[TraceStep] = []
    for event in events:
        if event.visit is None:
            steps.append(TraceStep("", "", 0, None, event.outcome, event.why))
            continue
        chain = event.visit.chain
        if event.visit not in left:
            steps += _steps_before(event, event.visit, positions.get(event.visit, 0))
        positions[event.visit] = max(positions.get(event.visit, 0), event.position + 1)
        if event.outcome == "policy" and chain.policy.step is not None:
            steps.append(chain.policy.step)
        elif event.position < len(chain.rules):
            rule = chain.rules[event.position]
            if event.outcome == "matched" and rule.action.kind in _LEAVING_CHAIN:
                left.add(event.visit)
            steps.append(TraceStep(chain.table, chain.name, rule.number, rule.rule, event.outcome, event.why))
    return tuple(steps)


def _steps_before(event: Event, visit: Visit, first: int) -> Iterator[TraceStep]:
    """Yield steps for the rules before an event: most do not match, and those that do only count or log."""
    chain, state, sources = visit.chain, event.piece.state, event.piece.sources
    for rule in chain.rules[first : event.position]:
        answer = rule.decide(state, sources) if rule.action.kind == "CONTINUE" else False
        if answer is not False:
            yield from _unmatched_steps(event, visit, first, rule.position)
            outcome: StepOutcome = "matched" if answer else "unknown"
            yield TraceStep(chain.table, chain.name, rule.number, rule.rule, outcome, rule.why)
            first = rule.position + 1
    yield from _unmatched_steps(event, visit, first, event.position)


def _unmatched_steps(event: Event, visit: Visit, first: int, last: int) -> Iterator[TraceStep]:
    chain = visit.chain
    if last - first > _MAX_SEPARATE_RULES:
        why = sentences.none_of_rules_matches(last - first)
        yield TraceStep(chain.table, chain.name, first + 1, None, "not matched", why, last)
        return
    for rule in chain.rules[first:last]:
        why = rule.why_not(event.piece.state, event.piece.sources)
        yield TraceStep(chain.table, chain.name, rule.number, rule.rule, "not matched", why)
