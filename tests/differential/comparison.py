"""Holds what the simulator says against what the kernel did, and writes down where they differ.

UNKNOWN agrees with everything, and is counted by its cause; whether the cause is one that the simulator may
have is judged here too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dockerfw.iptables.model import Rule
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.trace import Trace
from tests.differential.evidence import HOST, Range, RuleAt, Seen, Shot
from tests.differential.frames import ICMP, ICMPV6
from tests.differential.matches import OUTSIDE, ROUTE_TYPES
from tests.differential.world import CONTAINER_ADDRESSES, CONTAINERS, World

_OTHER_TARGETS: Final = frozenset(("CT", "NOTRACK", "TPROXY", "NETMAP", "SNAT", "MASQUERADE"))
_ORIGINAL_PORTS: Final = ("--ctorigsrcport", "--ctorigdstport")
_GRE: Final = 47
_TAKEN: Final = ("matched", "translated")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of one packet: `differences` is empty where both agree."""

    trace: Trace
    seen: Seen
    differences: tuple[str, ...]
    unknown: str = ""
    """The match or target that the simulator could not decide, "" when it could."""


def compare(world: World, trace: Trace, seen: Seen) -> Comparison:
    """Compare a trace with the evidence."""
    if trace.verdict.kind == "UNKNOWN":
        cause, allowed = unknown_cause(trace)
        wrong = () if allowed else (f"UNKNOWN although it has to be known: {trace.verdict.reason}",)
        return Comparison(trace, seen, wrong, cause)
    found = _verdict(trace, seen)
    if not any(step.outcome == "unknown" for step in trace.steps):
        # Behind a rule that it could not decide the simulator shows one of the ways, which all end alike.
        found += [*_decision(trace, seen), *_path(trace, seen), *_arrival(world, trace, seen)]
    return Comparison(trace, seen, tuple(found))


def goes_back(shot: Shot, loaded: Range, moved: Mapping[RuleAt, int]) -> bool:
    """Say whether a rule sent a packet of a container to itself: the bridge drops it, past all rules."""
    if shot.place not in CONTAINERS:
        return False
    own = CONTAINER_ADDRESSES[shot.wire.family][CONTAINERS.index(shot.place)]
    targets = [rule.target for at in moved if (rule := loaded.rule(at)) and rule.target]
    given = [option.values[0] for target in targets if target.name == "DNAT" for option in target.options]
    return any(re.fullmatch(rf"\[?{re.escape(own)}\]?(:\d+)?", text) for text in given)


def unknown_cause(trace: Trace) -> tuple[str, bool]:
    """Name what could not be decided, and whether the simulator need not decide it."""
    step = trace.verdict.step
    if step is None or step.rule is None:
        return re.sub(r"[\d.:a-f/]{4,}", "…", trace.verdict.reason), False
    cause = outside_of(step.rule, trace.packet)
    if cause:
        return cause, True
    modules = [match.module for match in step.rule.matches if match.module] or ["?"]
    return f"{'+'.join(modules)} -> {step.rule.target.name if step.rule.target else '-'}", False


def outside_of(rule: Rule, packet: Packet) -> str:
    """Name what the simulator need not know of a rule, "" if it has to know all."""
    for match in rule.matches:
        if match.module in OUTSIDE:
            return f"-m {match.module}"
        for option in match.options:
            if option.name in ("--src-type", "--dst-type") and set(option.values[0].split(",")) & ROUTE_TYPES:
                return "a type of address that only routes tell"
            if option.name == "--physdev-out":
                return "the port by which a bridge sends on"
            if option.name in _ORIGINAL_PORTS and packet.protocol in (ICMP, ICMPV6, _GRE):
                return "what an echo or a tunnel has for a port"
    return f"-j {rule.target.name}" if rule.target and rule.target.name in _OTHER_TARGETS else ""


def _verdict(trace: Trace, seen: Seen) -> list[str]:
    verdict = trace.verdict
    found = []
    if verdict.kind != seen.kind:
        found.append(f"verdict: {verdict.kind}, and the kernel's is {seen.kind}")
    elif seen.reject_with not in ("", verdict.reject_with):
        found.append(f"refused with {verdict.reject_with}, and the kernel answered {seen.reject_with}")
    if seen.hook and trace.hook != seen.hook:
        found.append(f"hook: {trace.hook}, and in the kernel {seen.hook}")
    return found


def _decision(trace: Trace, seen: Seen) -> list[str]:
    step = trace.verdict.step
    at = (step.table, step.chain, step.number) if step else None
    if seen.deciding is None or at == seen.deciding:
        return []
    return [f"decided by {_named(at)}, and in the kernel by {_named(seen.deciding)}"]


def _path(trace: Trace, seen: Seen) -> list[str]:
    passed: Counter[RuleAt] = Counter()
    for step in trace.steps:
        if step.rule is not None and step.outcome in _TAKEN:
            passed[step.table, step.chain, step.number] += 1
    # What the host sends back comes the same way as what it refused to send.
    answered = seen.shot.place == HOST and (seen.kind == "REJECT" or seen.sentinels["entered"] > 0)
    return [
        f"matched {_named(at)} {passed[at]} times, and in the kernel {counted}"
        for at in sorted(passed.keys() | seen.counted.keys())
        if at[2]
        and passed[at] != (counted := seen.counted.get(at, 0))
        and not (answered and counted > passed[at])
    ]


def _arrival(world: World, trace: Trace, seen: Seen) -> list[str]:
    found = []
    if seen.kind != "ACCEPT":
        return [f"it was not let through and arrived at {seen.arrived[0][0]}"] if seen.arrived else []
    for place, destination, port in seen.arrived:
        if str(trace.destination) != destination or (port is not None and trace.destination_port != port):
            there = f"{trace.destination} port {trace.destination_port}"
            found.append(f"it goes to {there}, and arrived for {destination} port {port}")
        if trace.out_interface != world.interface_of(place):
            found.append(f"it leaves by {trace.out_interface}, and arrived at {place}")
    return found


def _named(at: RuleAt | None) -> str:
    if at is None:
        return "no rule"
    return f"{at[0]} {at[1]} {at[2] or 'policy'}"


def report(loaded: Range, comparison: Comparison, *, title: str, sets: str) -> str:
    """Write down all that is needed to look into a disagreement."""
    trace, seen = comparison.trace, comparison.seen
    lines = [title, "", *(f"- {difference}" for difference in comparison.differences), ""]
    lines += [f"packet    {trace.packet}", f"sent      {seen.shot}", ""]
    lines += [f"kernel    {seen.kind} {seen.hook or ''} {seen.reject_with} by {_named(seen.deciding)}"]
    lines += [f"          counted {_named(at)}: {count}" for at, count in seen.counted.items()]
    lines += [f"          arrived {where}" for where in seen.arrived]
    lines += [f"          sentinels {dict(seen.sentinels)}", ""]
    lines += [
        f"simulator {trace.verdict.kind} {trace.hook} {trace.verdict.reject_with} {trace.verdict.reason}"
    ]
    lines += [
        f"          {step.outcome:12} {step.table} {step.chain} {step.number} {step.why}"
        f"  {step.rule.text if step.rule else ''}"
        for step in trace.steps
    ]
    return "\n".join([*lines, "", "SETS", sets, "SAVE", loaded.save])
