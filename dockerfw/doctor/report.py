"""Show findings: as text for admins, or as JSON; and the exit status of `doctor`."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence

from dockerfw.doctor.finding import Finding, Level
from dockerfw.streams import Output

WIDTH = 100
TITLES: dict[Level, str] = {"problem": "Problems", "note": "Notes"}


def show_findings(
    findings: Sequence[Finding], output: Output, *, command: str, everything: bool = False
) -> int:
    """Print the findings and return the exit status: 0 no problems, 1 problems, 2 no check was possible."""
    status = status_of(findings)
    if output.as_json:
        output.json({"status": status, "checks": [finding.to_json() for finding in findings]})
        return status
    for line in report(findings, command=command, everything=everything):
        output.line(line)
    return status


def status_of(findings: Sequence[Finding]) -> int:
    """Return the exit status for these findings."""
    levels = {finding.level for finding in findings}
    if levels <= {"unknown"}:
        return 2
    return 1 if "problem" in levels else 0


def report(findings: Sequence[Finding], *, command: str = "dockerfw", everything: bool = False) -> list[str]:
    """Return the lines of the report: problems first, then notes, then what could not be checked."""
    lines: list[str] = []
    wide = max((len(finding.id) for finding in findings), default=0)
    for level, title in TITLES.items():
        chosen = [finding for finding in findings if finding.level == level]
        if chosen:
            lines += [title, *(line for finding in chosen for line in _finding_lines(finding, wide)), ""]
    if everything:
        well = [finding for finding in findings if finding.level == "ok"]
        lines += ["OK", *(line for finding in well for line in _finding_lines(finding, wide)), ""]
    lines += _unchecked(findings, command)
    return [*lines, _summary(findings)]


def _finding_lines(finding: Finding, wide: int) -> list[str]:
    texts = [finding.text, *([f"To do: {finding.todo}"] if finding.todo else [])]
    head, *rest = [
        line
        for text in texts
        for line in textwrap.wrap(text, WIDTH - wide - 4, break_long_words=False, break_on_hyphens=False)
    ]
    return [f"  {finding.id:{wide}}  {head}", *(f"  {'':{wide}}  {line}" for line in rest)]


def _unchecked(findings: Sequence[Finding], command: str) -> list[str]:
    """Name what could not be checked, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        if finding.level == "unknown":
            reasons.setdefault(finding.text, []).append(finding.id)
    if not reasons:
        return []
    lines = ["Not checked"]
    for why, names in reasons.items():
        lines += textwrap.wrap(
            f"{', '.join(names)}: {why}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    if os.geteuid() != 0:
        lines.append(f"  Root can check more: sudo {command} doctor")
    return [*lines, ""]


def _summary(findings: Sequence[Finding]) -> str:
    count = {
        level: sum(finding.level == level for finding in findings)
        for level in ("ok", "note", "problem", "unknown")
    }
    made = len(findings) - count["unknown"]
    if not made:
        return "Nothing could be checked."
    if not count["problem"] and not count["note"]:
        return f"All {made} checks passed."
    parts = [_counted(count["problem"], "problem"), _counted(count["note"], "note")]
    return f"{made} checks: {', '.join(filter(None, parts))}, {count['ok']} OK."


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""
