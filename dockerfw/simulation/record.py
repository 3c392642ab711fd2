"""Owns the telling of a walk: its events as steps, with the rules in between that did not match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dockerfw.simulation.trace import Outcome, TraceStep
from dockerfw.simulation.walk import Event, Visit

_MOST_IN_FULL = 25
# What these take never comes to the rules behind them, only to the policy.
_SENDING_BACK = ("RETURN", "GOTO")


def steps_of(events: Iterable[Event]) -> tuple[TraceStep, ...]:
    """Return the steps of a walk; more than 25 rules in a row that do not match are one step."""
    told: dict[Visit, int] = {}
    sent_back: set[Visit] = set()
    steps: list[TraceStep] = []
    for event in events:
        if event.visit is None:
            steps.append(TraceStep("", "", 0, None, event.outcome, event.why))
            continue
        chain = event.visit.chain
        if event.visit not in sent_back:
            steps += _skipped(event, event.visit, told.get(event.visit, 0))
        told[event.visit] = max(told.get(event.visit, 0), event.position + 1)
        if event.outcome == "policy" and chain.policy.step is not None:
            steps.append(chain.policy.step)
        elif event.position < len(chain.rules):
            rule = chain.rules[event.position]
            if event.outcome == "matched" and rule.action.kind in _SENDING_BACK:
                sent_back.add(event.visit)
            steps.append(TraceStep(chain.table, chain.name, rule.number, rule.rule, event.outcome, event.why))
    return tuple(steps)


def _skipped(event: Event, visit: Visit, first: int) -> Iterator[TraceStep]:
    """Tell of the rules before an event: most do not match, and those that do only count or log."""
    chain, state, sources = visit.chain, event.piece.state, event.piece.sources
    for rule in chain.rules[first : event.position]:
        answer = rule.decide(state, sources) if rule.action.kind == "CONTINUE" else False
        if answer is not False:
            yield from _unmatched(event, visit, first, rule.position)
            outcome: Outcome = "matched" if answer else "unknown"
            yield TraceStep(chain.table, chain.name, rule.number, rule.rule, outcome, rule.why)
            first = rule.position + 1
    yield from _unmatched(event, visit, first, event.position)


def _unmatched(event: Event, visit: Visit, first: int, last: int) -> Iterator[TraceStep]:
    chain = visit.chain
    if last - first > _MOST_IN_FULL:
        why = f"none of these {last - first:,} rules matches"
        yield TraceStep(chain.table, chain.name, first + 1, None, "not matched", why, last)
        return
    for rule in chain.rules[first:last]:
        why = rule.why_not(event.piece.state, event.piece.sources)
        yield TraceStep(chain.table, chain.name, rule.number, rule.rule, "not matched", why)
