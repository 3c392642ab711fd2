"""Traces as text and as JSON for the command line, and their exit status."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from dockerfw.document.document import DocumentRule
from dockerfw.document.words import describe_rule
from dockerfw.iptables.tokens import printable
from dockerfw.reach.question import Question, QuestionError, ResolvedQuestion
from dockerfw.reach.sentences import describe_packet, describe_path, describe_place, describe_verdict
from dockerfw.simulation.trace import Trace, TraceStep
from dockerfw.streams import InputError
from rules.asking.trace_row_selectors import ChainVisit, StepRow, TraceRows

PASSES, REFUSED, CANNOT_TELL = 0, 1, 3
ARGUMENTS = {
    "source": "SOURCE",
    "destination": "DESTINATION",
    "protocol": "--protocol",
    "port": "--port",
    "icmp_type": "--icmp-type",
    "interface": "--interface",
    "source_port": "--source-port",
    "against": "--against",
}


def question_of(options: argparse.Namespace) -> Question:
    """Return the question that the arguments ask."""
    return Question(
        source=options.source,
        destination=options.destination,
        protocol=options.protocol,
        port=options.port,
        icmp_type=options.icmp_type,
        interface=options.interface,
        source_port=options.source_port,
        family=options.family,
    )


def trace_status(trace: Trace) -> int:
    """Return the exit status for a trace's verdict."""
    passes = trace.verdict.passes
    return CANNOT_TELL if passes is None else PASSES if passes else REFUSED


def wrong_question(error: QuestionError) -> InputError:
    """Return the errors of a question, each line with the name of its argument."""
    return InputError(
        "\n".join(f"{ARGUMENTS.get(each.path, each.path)}: {each.message}" for each in error.errors)
    )


def trace_lines(
    asked: ResolvedQuestion,
    rows: TraceRows,
    against: str,
    rules: Mapping[str, DocumentRule],
    *,
    everything: bool,
) -> Iterator[str]:
    """Yield a trace as text; `everything` includes the rules that do not match."""
    yield from map(printable, _trace_lines(asked, rows, against, rules, everything=everything))


def _trace_lines(
    asked: ResolvedQuestion,
    rows: TraceRows,
    against: str,
    rules: Mapping[str, DocumentRule],
    *,
    everything: bool,
) -> Iterator[str]:
    trace = rows.trace
    yield describe_verdict(trace.verdict)
    yield f"  {describe_packet(trace.packet)}"
    if describe_path(trace):
        yield f"  {describe_path(trace)}"
    if trace.verdict.reason:
        yield f"  because {trace.verdict.reason}"
    if rows.allowed_by:
        yield f"  allowed by {_rule_words(rows.allowed_by, rules)}"
    if rows.deciding:
        yield f"  decided by {_deciding_words(rows.deciding, rules)}"
    yield f"  against: {against}"
    for guess in asked.guesses:
        yield f"  assumed: {guess}"
    for visit in rows.visits:
        yield ""
        yield f"{visit.table} {visit.chain}".strip() or "routing"
        yield from _visit_lines(visit, everything=everything)


def trace_json(asked: ResolvedQuestion, rows: TraceRows, against: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trace as JSON values, with every step."""
    trace, verdict, packet = rows.trace, rows.trace.verdict, rows.trace.packet
    return {
        "verdict": verdict.kind,
        "reject_with": verdict.reject_with or None,
        "reason": verdict.reason or None,
        "packet": {
            "family": packet.family,
            "source": str(packet.source),
            "destination": str(packet.destination),
            "protocol": packet.protocol,
            "in_interface": packet.in_interface,
            "source_port": packet.source_port,
            "destination_port": packet.destination_port,
            "icmp_type": packet.icmp_type,
            "icmp_code": packet.icmp_code,
        },
        "assumed": list(asked.guesses),
        "against": dict(against),
        "hook": trace.hook,
        "destination": str(trace.destination) if trace.destination else None,
        "destination_port": trace.destination_port,
        "out_interface": trace.out_interface,
        "decided_by": _step_json(verdict.step) if verdict.step else None,
        "allowed_by": rows.allowed_by.rule_key if rows.allowed_by else None,
        "steps": [_step_json(step) for step in trace.steps],
    }


def _visit_lines(visit: ChainVisit, *, everything: bool) -> Iterator[str]:
    for item in visit.steps:
        if isinstance(item, StepRow):
            yield _step_line(item)
        elif everything:
            yield from map(_step_line, item)
        else:
            count = sum(max(row.step.last - row.step.number, 0) + 1 for row in item)
            yield f"       {count} {'rule does' if count == 1 else 'rules do'} not match"


def _step_line(row: StepRow) -> str:
    step = row.step
    number = f"{step.number}-{step.last}" if step.last > step.number else str(step.number or "")
    what = f"{row.what} -> {row.target}  ({step.outcome}: {step.why})" if step.rule else step.why
    return f"  {number:>4} {what}"


def _rule_words(row: StepRow, rules: Mapping[str, DocumentRule]) -> str:
    rule = rules.get(row.rule_key)
    return f"{describe_rule(rule)} (rule {row.rule_key})" if rule else f"rule {row.rule_key}"


def _deciding_words(row: StepRow, rules: Mapping[str, DocumentRule]) -> str:
    if row.rule_key:
        return _rule_words(row, rules)
    if row.is_refusal:
        return "dockerfw's refusal: no rule allows it"
    words = describe_place(row.step)
    return f"{words}: {row.what}, then {row.target}" if row.step.rule else words


def _step_json(step: TraceStep) -> dict[str, Any]:
    return {
        "table": step.table,
        "chain": step.chain,
        "number": step.number or None,
        "last": step.last or None,
        "rule": printable(step.rule.text) if step.rule else None,
        "outcome": step.outcome,
        "why": step.why,
    }
