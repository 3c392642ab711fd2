"""The verbs `trace` and `exposure`, answered from the host's snapshot."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from dockerfw.chains.kernel_state import read_kernel_state
from dockerfw.chains.sentences import describe_redirecting_tables, describe_tables
from dockerfw.document.document import rule_to_json_object
from dockerfw.document.words import describe_rule
from dockerfw.iptables.tokens import printable
from dockerfw.reach.question import QuestionError
from dockerfw.reach.sentences import RULES_IN_NFTABLES
from dockerfw.streams import InputError, Output
from rules.asking.exposure_line_selectors import AccessWords, Line, exposure_lines, line_json
from rules.asking.exposure_run_selectors import fold_runs
from rules.asking.exposure_selectors import Exposure, read_exposure
from rules.asking.forwarded_line_selectors import forwarded_json, forwarded_lines
from rules.asking.trace_selectors import RulesUnread, answer_question
from rules.command_line.stored import fresh_look, tell_age, wanted_host
from rules.command_line.traces import (
    CANNOT_TELL,
    question_of,
    trace_json,
    trace_lines,
    trace_status,
    wrong_question,
)
from rules.draft.basis_selectors import Basis, basis_of
from rules.models import Host
from rules.seen.snapshot_selectors import SnapshotView


def trace(options: argparse.Namespace, output: Output) -> int:
    """Print what happens to a packet on the host; status 0 passes, 1 refused, 3 cannot tell."""
    host = wanted_host(options)
    view, basis = _seen(host, output)
    try:
        answer = answer_question(basis, view, question_of(options), options.against)
    except RulesUnread as error:
        output.note(f"cannot tell: {error.errors[0].message}")
        return CANNOT_TELL
    except QuestionError as error:
        raise wrong_question(error) from error
    ground = answer.ground
    if output.as_json:
        against = {
            "word": ground.word,
            "revision": ground.number or None,
            "sentence": ground.sentence,
            "taken_at": view.taken_at.isoformat(),
        }
        output.json(trace_json(answer.asked, answer.rows, against))
    else:
        for line in trace_lines(
            answer.asked, answer.rows, ground.sentence, basis.rules, everything=options.all
        ):
            output.line(line)
    return trace_status(answer.rows.trace)


def exposure(options: argparse.Namespace, output: Output) -> int:
    """Print listening and published ports and who can reach each; status 3 where it cannot tell."""
    host = wanted_host(options)
    view, basis = _seen(host, output)
    found = read_exposure(basis, view)
    loaded = any(state.label for state in read_kernel_state(view.rulesets).families.values())
    lines = exposure_lines(found.rows, basis.rules, loaded=loaded)
    behind = forwarded_lines(found.forwarded, basis.rules, loaded=loaded)
    status = _exposure_status(found)
    if output.as_json:
        output.json(
            {
                "sentence": found.sentence,
                "taken_at": view.taken_at.isoformat(),
                "external_interfaces": list(found.outside),
                "problems": list(found.problems),
                "counts": dict(found.counts),
                "ports": [line_json(line) for line in lines],
                "forwarded": [forwarded_json(line) for line in behind],
                "idle": [rule_to_json_object(rule) for rule in found.idle],
            }
        )
        return status
    output.line(found.sentence)
    for problem in found.problems:
        output.line(problem)
    output.line(f"packets from outside arrive on: {', '.join(found.outside) or 'unknown interfaces'}")
    for line in fold_runs(lines):
        for text in _exposure_lines(line):
            output.line(text)
    for each in behind:
        output.line(printable(f"{each.what} forwarded to {each.place}"))
        for text in _access_lines(each.access):
            output.line(text)
    for rule in found.idle:
        output.line(f"allowed, but nothing is listening: {describe_rule(rule)}")
    return status


def _exposure_status(found: Exposure) -> int:
    """Return 3 where a port may be missing or its clients are unknown, as trace does."""
    unknown = found.counts["unknown"] or any(row.level == "unknown" for row in found.forwarded)
    return 0 if found.complete and found.outside and not unknown else CANNOT_TELL


def _seen(host: Host, output: Output) -> tuple[SnapshotView, Basis]:
    """Return a fresh snapshot with the basis that holds it, and print what limits it. Raises InputError."""
    sight = fresh_look(host)
    if sight.view is None:
        raise InputError(sight.problem)
    tell_age(sight.view, output)
    if sight.view.snapshot.docker_state == "nftables":
        output.note(f"{RULES_IN_NFTABLES}: results for containers are unknown")
    if sight.view.snapshot.foreign_tables:
        output.note(describe_tables(sight.view.snapshot.foreign_tables))
    if sight.view.snapshot.redirecting_tables:
        output.note(describe_redirecting_tables(sight.view.snapshot.redirecting_tables))
    return sight.view, basis_of(host, sight)


def _exposure_lines(line: Line) -> Iterator[str]:
    offer = line.row.offer
    what = f"{line.name} ({offer.detail})" if offer.detail and offer.detail != line.name else line.name
    inner = f" -> {', '.join(line.inner)}" if line.inner else ""
    yield printable(f"{line.port:<10} {what}, {line.kind}, {line.address}{inner}")
    yield from _access_lines(line.access)
    yield from (printable(f"    {note}") for note in line.row.notes)


def _access_lines(access: Iterable[AccessWords]) -> Iterator[str]:
    for each in access:
        ways = f" by {', '.join(each.interfaces)}" if each.interfaces else ""
        by = f" ({'; '.join(by.text for by in each.by)})" if each.by else ""
        yield printable(f"    {each.family_words}{ways}: {each.words}{by}")
        yield from (printable(f"      {reason}") for reason in each.reasons)
