"""Check that refused packets are logged, and that the log is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.doctor.finding import RESTART_ROOT, Finding, note, ok, problem, unknown

CHECK = "chains.log"


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What logs refused packets: `wanted` by the confirmed revision, and the `groups` that the rules log to.

    `readers` are the groups that are read in the root worker's network, None where the kernel does not tell.
    `left_out` says why the last apply left out the log lines, empty where it did not.
    """

    wanted: bool = False
    groups: frozenset[int] = frozenset()
    readers: Mapping[int, int] | None = None
    left_out: str = ""


def judge_log(facts: LogFacts | None) -> Finding:
    """Judge all of it; None is a host whose log this process cannot see."""
    if facts is None:
        return unknown(CHECK, "the kernel's log can be seen only in the root worker's network, by root")
    if not facts.wanted:
        return ok(CHECK, "No confirmed revision asks to log refused packets.")
    if not facts.groups:
        if facts.left_out:
            return note(CHECK, f"{facts.left_out[0].upper()}{facts.left_out[1:]}.")
        text = "Refused packets are not logged: an earlier release loaded the confirmed revision."
        return note(CHECK, text, "apply the revision again")
    if facts.readers is None:
        return unknown(CHECK, "the kernel does not tell who reads its log")
    unread = sorted(facts.groups - facts.readers.keys())
    if unread:
        words = ", ".join(map(str, unread))
        text = f"Refused packets are logged to group {words} of the kernel's log, and no program reads it."
        return problem(CHECK, text, f"{RESTART_ROOT}; its journal says why it cannot read. Then apply again")
    words = ", ".join(map(str, sorted(facts.groups)))
    return ok(CHECK, f"Refused packets are logged to group {words} of the kernel's log, which is read.")
