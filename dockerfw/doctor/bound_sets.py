"""Check that the bound sets hold what the host shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.doctor.finding import RESTART_ROOT, Finding, ok, problem, unknown

CHECK = "chains.sets"

Members = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class BoundSetFacts:
    """The bound sets that the confirmed revision needs.

    `held` are the members in the kernel of the sets that exist, None where they could not be read. `shown`
    are the members that the host shows now, None where they could not be read. `why_not` says why. `problem`
    is what the root worker reported about filling them, empty for none.
    """

    needed: tuple[str, ...] = ()
    held: Members | None = None
    shown: Members | None = None
    why_not: str = ""
    problem: str = ""


def judge_bound_sets(facts: BoundSetFacts | None) -> Finding:
    """Judge all of it; None is a host whose sets this process cannot see."""
    if facts is None:
        return unknown(CHECK, "the sets can be read only in the root worker's network, by root")
    if not facts.needed:
        return ok(CHECK, "No rule of the confirmed revision needs a bound set.")
    if facts.problem:
        return problem(CHECK, f"The bound sets are not filled: {facts.problem}", RESTART_ROOT)
    if facts.held is None or facts.shown is None:
        return unknown(CHECK, facts.why_not)
    missing = [name for name in facts.needed if name not in facts.held]
    if missing:
        return problem(CHECK, f"Bound sets are missing: {', '.join(missing)}.", RESTART_ROOT)
    wrong = [_difference(name, facts.held[name], facts.shown[name]) for name in facts.needed]
    if found := [words for words in wrong if words]:
        return problem(CHECK, " ".join(found), RESTART_ROOT)
    counts = (f"{name} has {len(facts.held[name])} members" for name in facts.needed)
    return ok(CHECK, f"The bound sets hold what this host shows: {', '.join(counts)}.")


def _difference(name: str, held: tuple[str, ...], shown: tuple[str, ...]) -> str:
    more, less = sorted({*held} - {*shown}), sorted({*shown} - {*held})
    parts = [
        f"{words} {found[0]}" + (f" and {len(found) - 1} more" if len(found) > 1 else "")
        for words, found in (("it allows", more), ("it lacks", less))
        if found
    ]
    return f"{name} differs from what this host shows: {' and '.join(parts)}." if parts else ""
