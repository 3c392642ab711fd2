"""The verb `status` of a host: does its kernel hold the revision that was confirmed last?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from dockerfw.chains.sentences import describe_redirecting_tables, describe_tables
from dockerfw.doctor.dashboard import DatabaseAnswer
from dockerfw.doctor.examination import read_kernel
from dockerfw.doctor.finding import Finding
from dockerfw.doctor.kernel import KernelFacts, judge_kernel
from dockerfw.doctor.root_worker import find_root_worker
from dockerfw.settings import AgentSettings, read_settings
from dockerfw.store.state import StateDirectory
from dockerfw.streams import InputError, Output

Level = Literal["ok", "warn", "bad", "unknown"]
_FAMILIES = {4: "IPv4", 6: "IPv6"}
_RULES = ("chains.confirmed", "anchors.first", "anchors.docker-user", "anchors.interfaces")


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the host's rules in one sentence.

    `reasons` are what is wrong, or the other tables that filter too, one line each.
    """

    level: Level
    text: str
    reasons: tuple[str, ...] = ()
    revision: int = 0


def status(output: Output) -> int:
    """Print the state of the host's rules; 0 only when the confirmed revision is active."""
    if os.geteuid() != 0:
        raise InputError("status reads the kernel's rules and needs root")
    settings = read_settings()
    state = StateDirectory(settings.state_dir)
    worker = find_root_worker(state)
    found = judge_status(_facts(settings, state))
    running = worker.pid is not None
    if output.as_json:
        output.json(
            {
                "host": settings.host,
                "level": found.level,
                "text": found.text,
                "reasons": list(found.reasons),
                "revision": found.revision or None,
                "root_worker": running,
            }
        )
    else:
        output.line(found.text)
        for reason in found.reasons:
            output.line(f"  {reason}")
        output.line(f"root worker: {'running' if running else 'not running'}")
    return 0 if found.level == "ok" else 1


def judge_status(facts: KernelFacts) -> Status:
    """Return the sentence for what the kernel holds."""
    snapshot = facts.snapshot
    if snapshot is None:
        return Status("unknown", "The rules in the kernel are not known.", (facts.why_not,))
    found = {finding.id: finding for finding in judge_kernel(facts)}
    if snapshot.unprinted:
        text = "Cannot tell what is protected: not all rules in the kernel can be read."
        return Status("bad", text, (_text(found, "backend.readable"),))
    if snapshot.unread:
        return Status(
            "unknown", "The rules in the kernel could not be read.", (_text(found, "backend.readable"),)
        )
    if facts.confirmed_problem:
        text = "The confirmed revision is not known, because its record cannot be read."
        return Status("unknown", text, (facts.confirmed_problem,))
    if facts.document is None:
        return Status("warn", "No revision is confirmed yet.")
    if facts.window:
        text = f"A revision waits for confirmation. Revision {facts.revision} is the confirmed one."
        return Status("warn", text, revision=facts.revision)
    wrong = [found[check] for check in _RULES if found[check].level != "ok"]
    if wrong and all(finding.level == "unknown" for finding in wrong):
        text = f"Cannot tell whether revision {facts.revision} is active."
        return Status("unknown", text, tuple(finding.text for finding in wrong), facts.revision)
    if wrong:
        text = f"Not protected: the kernel does not hold revision {facts.revision} as it was confirmed."
        if {finding.id for finding in wrong} == {"anchors.interfaces"}:
            text = (
                f"Not protected: packets from outside can bypass revision {facts.revision}'s container rules."
            )
        return Status("bad", text, tuple(finding.text for finding in wrong), facts.revision)
    docker = found["backend.docker"]
    if docker.level != "ok" and snapshot.docker_state != "nftables":
        # The other backend's rules were not compared. What Docker's nftables means is among the rules above.
        text = f"Cannot tell whether revision {facts.revision} is active."
        return Status("unknown", text, (docker.text,), facts.revision)
    sets = found["chains.sets"]
    if facts.sets is not None and sets.level != "ok":
        # More than the rules say may be allowed, or less.
        text = f"Cannot tell what revision {facts.revision} allows: it is active, but its sets may be wrong."
        return Status("unknown", text, (sets.text,), facts.revision)
    others = (
        describe_tables(snapshot.foreign_tables),
        describe_redirecting_tables(snapshot.redirecting_tables),
    )
    beside = tuple(words for words in others if words)
    names = " and ".join(_FAMILIES[family] for family in snapshot.families)
    text = f"Protected: revision {facts.revision} is active for {names}."
    return Status("ok", text, beside, facts.revision)


def _facts(settings: AgentSettings, state: StateDirectory) -> KernelFacts:
    return read_kernel(settings, state, find_root_worker(state), None, DatabaseAnswer())


def _text(found: dict[str, Finding], check: str) -> str:
    return found[check].text
