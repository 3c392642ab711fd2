"""The consequences of an apply on the command line, and the verbs `plan` (of the draft) and `expectations`.

The consequences are changes of outside access, failing expectations, and, over SSH, whether this session
would be blocked.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.document import expectation_to_json_object
from dockerfw.document.words import describe_expectation
from dockerfw.reach.changes import Change
from dockerfw.reach.container_access import ContainerEffect
from dockerfw.reach.differences import Difference
from dockerfw.reach.expectations import ExpectationResult, find_failures
from dockerfw.streams import InputError, Output
from rules.applying.apply_errors import EveryPort
from rules.applying.proposal_selectors import Proposal, propose_draft
from rules.applying.review_selectors import Review, build_review
from rules.command_line.files import print_plan
from rules.command_line.plans import packet_lines, packets_json
from rules.command_line.stored import fresh_look, tell_age, wanted_host
from rules.draft.basis_selectors import Basis, basis_of
from rules.seen.consequence_selectors import (
    LockOut,
    container_effect,
    containers_question,
    expectation_findings,
    exposure_difference,
    findings_now,
    lock_out_ssh,
    packet_differences,
)

_STATES = {"holds": "holds", "fails": "FAILS", "unknown": "cannot tell"}


@dataclass(frozen=True, slots=True)
class Consequences:
    """The expected effects of an apply; `lock` is None unless this session came over SSH.

    `question` is what the first apply takes from containers, "" if the draft keeps it.
    """

    exposure: tuple[Change, ...]
    packets: tuple[Difference, ...]
    containers: ContainerEffect
    findings: tuple[ExpectationResult, ...]
    lock: LockOut | None
    question: str = ""

    @property
    def shut_out(self) -> bool:
        """Return True if this SSH session could not connect again."""
        return self.lock is not None and self.lock.can == "no"

    def lines(self) -> Iterator[str]:
        """Yield the lines that are printed before a plan or an apply."""
        signs = {"opened": "+", "closed": "-", "unknown": "?"}
        for change in self.exposure:
            yield f"{signs[change.kind]} {change.sentence}"
        for change in self.containers.changes:
            yield f"{signs[change.kind]} {change.sentence}"
        if self.question:
            yield f"? {self.question} To keep that for all containers, set containers_reach_host to allow."
        if not self.containers.whole:
            yield "? too many services and bridges: what containers reach on the host is compared in part"
        for finding in self.findings:
            if finding.state != "holds":
                yield f"expected: {finding}"
        for answer in self.lock.answers if self.lock else ():
            if answer.can != "yes":
                can = "cannot tell" if answer.can == "unknown" else "no"
                yield f"can you still connect? {answer.what}: {can}, {answer.reason}"
        yield from packet_lines(self.packets)

    def json(self) -> dict[str, Any]:
        """Return the consequences as JSON values."""
        return {
            "packets": packets_json(self.packets),
            "exposure": [{"kind": each.kind, "sentence": each.sentence} for each in self.exposure],
            "containers": [
                {"kind": each.kind, "sentence": each.sentence} for each in self.containers.changes
            ],
            "expectations": [finding_json(each) for each in self.findings],
            "lock_out": None if self.lock is None else self.lock.can,
        }


def consequences_of(basis: Basis, proposal: Proposal) -> Consequences | None:
    """Return the consequences of applying a proposal, None without a snapshot."""
    view, document, revision = basis.view, proposal.document, proposal.number
    if view is None:
        return None
    containers = container_effect(view, document, revision)
    return Consequences(
        exposure_difference(view, basis.base_document, document, revision),
        packet_differences(view, document),
        containers,
        expectation_findings(view, document, revision),
        lock_out_ssh(view, document, revision, os.environ.get("SSH_CONNECTION", "")),
        containers_question(basis.base_document, document, containers),
    )


def plan_draft(options: argparse.Namespace, output: Output) -> int:
    """Print what applying the draft would change on the host; status 1 when something would."""
    host = wanted_host(options)
    sight = fresh_look(host)
    if sight.view is None:
        raise InputError(sight.problem)
    basis = basis_of(host, sight)
    proposal = propose_draft(basis)
    review = build_review(basis, proposal, effects=False)
    assert review.plan is not None
    meant = consequences_of(basis, proposal)
    for line in meant.lines() if meant and not output.as_json else ():
        output.line(line)
    # Those of the page, which knows more of the host than its rules.
    plan = replace(review.plan, warnings=warnings_of(review))
    status = print_plan(plan, output, meant.json() if meant else {})
    for sentence in review.sessions.sentences:
        output.note(sentence)
    return status


def warnings_of(review: Review) -> tuple[PlanWarning, ...]:
    """Return the warnings of the review page, with the rules for which its form needs a tick."""
    if not review.every_port:
        return review.warnings
    return (*review.warnings, PlanWarning("every-port", str(EveryPort(review.every_port))))


def expectations(options: argparse.Namespace, output: Output) -> int:
    """Print which of the draft's expectations the kernel's rules meet now; status 1 when one fails."""
    host = wanted_host(options)
    sight = fresh_look(host)
    if sight.view is None:
        raise InputError(sight.problem)
    tell_age(sight.view, output)
    findings = findings_now(sight.view, basis_of(host, sight).draft)
    if output.as_json:
        output.json([finding_json(each) for each in findings])
    for finding in () if output.as_json else findings:
        why = "" if finding.state == "holds" else f": {finding.reason}"
        output.line(f"{_STATES[finding.state]:<11}  {describe_expectation(finding.expectation)}{why}")
    if not findings and not output.as_json:
        output.line("the draft has no expectations")
    return 1 if find_failures(findings) else 0


def finding_json(finding: ExpectationResult) -> dict[str, Any]:
    """Return the result of one expectation as JSON values."""
    return {
        "expectation": expectation_to_json_object(finding.expectation),
        "sentence": describe_expectation(finding.expectation),
        "state": finding.state,
        "reason": finding.reason,
        "sources": list(finding.sources),
    }
