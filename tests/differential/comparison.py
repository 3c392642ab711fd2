"""The comparison of the simulator's verdict with what the kernel did, and the report of a difference.

UNKNOWN agrees with everything. It is counted by its cause, and unknown_cause decides whether the cause is
allowed.
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
from tests.differential.world import CONTAINER_ADDRESSES, CONTAINERS, LEFT, World

_OTHER_TARGETS: Final = frozenset(("CT", "NOTRACK", "TPROXY", "NETMAP", "SNAT", "MASQUERADE"))
_ORIGINAL_PORTS: Final = ("--ctorigsrcport", "--ctorigdstport")
_GRE: Final = 47
_MATCHED: Final = ("matched", "translated")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result for one packet: `differences` is empty if both agree."""

    trace: Trace
    seen: Seen
    differences: tuple[str, ...]
    unknown: str = ""
    """The match or target that the simulator could not decide, or ""."""


def compare(world: World, trace: Trace, seen: Seen) -> Comparison:
    """Compare a trace with the evidence."""
    if trace.verdict.kind == "UNKNOWN":
        cause, allowed = unknown_cause(trace)
        wrong = () if allowed else (f"UNKNOWN, but it must be known: {trace.verdict.reason}",)
        return Comparison(trace, seen, wrong, cause)
    found = _compare_verdict(trace, seen)
    if not any(step.outcome == "unknown" for step in trace.steps):
        # After a rule that it could not decide, the simulator shows one of the paths, which all end the same.
        found += [
            *_compare_decision(trace, seen),
            *_compare_path(trace, seen),
            *_compare_arrival(world, trace, seen),
        ]
    return Comparison(trace, seen, tuple(found))


def is_sent_back(shot: Shot, loaded: Range, moved: Mapping[RuleAt, int]) -> bool:
    """Return True if a rule sent a packet of a container back to it: the bridge drops it after all rules."""
    if shot.place not in CONTAINERS:
        return False
    own = CONTAINER_ADDRESSES[shot.wire.family][CONTAINERS.index(shot.place)]
    targets = [rule.target for at in moved if (rule := loaded.rule(at)) and rule.target]
    given = [option.values[0] for target in targets if target.name == "DNAT" for option in target.options]
    return any(re.fullmatch(rf"\[?{re.escape(own)}\]?(:\d+)?", text) for text in given)


def unknown_cause(trace: Trace) -> tuple[str, bool]:
    """Return what could not be decided, and True if the simulator does not need to decide it."""
    step = trace.verdict.step
    if step is None or step.rule is None:
        return re.sub(r"[\d.:a-f/]{4,}", "…", trace.verdict.reason), False
    if trace.packet.destination.is_link_local:
        return "a link-local destination", True
    cause = unsupported_part(step.rule, trace.packet) or _cause_of_unknown_mark(trace, step.rule)
    if cause:
        return cause, True
    modules = [match.module for match in step.rule.matches if match.module] or ["?"]
    return f"{'+'.join(modules)} -> {step.rule.target.name if step.rule.target else '-'}", False


def _cause_of_unknown_mark(trace: Trace, rule: Rule) -> str:
    """Return why a mark that a rule asks for is unknown: a rule that need not be decided may have set it."""
    if not any(match.module in ("mark", "connmark") for match in rule.matches):
        return ""
    setting = (
        step.rule
        for step in trace.steps
        if step.outcome == "unknown" and step.rule and step.rule.target and step.rule.target.name == "MARK"
    )
    return next((cause for each in setting if (cause := unsupported_part(each, trace.packet))), "")


def unsupported_part(rule: Rule, packet: Packet) -> str:
    """Return the part of a rule that the simulator does not need to support, or ""."""
    for match in rule.matches:
        if match.module in OUTSIDE:
            return f"-m {match.module}"
        if match.module == "rpfilter" and packet.in_interface != LEFT:
            return "a route of an interface without the default route"
        for option in match.options:
            if option.name == "--kerneltz":
                return "the time zone of the kernel"
            if option.name in ("--src-type", "--dst-type") and set(option.values[0].split(",")) & ROUTE_TYPES:
                return "an address type that depends on routes"
            if option.name == "--physdev-out":
                return "the outgoing port of a bridge"
            if option.name in _ORIGINAL_PORTS and packet.protocol in (ICMP, ICMPV6, _GRE):
                return "the original port of an echo or a tunnel"
    return f"-j {rule.target.name}" if rule.target and rule.target.name in _OTHER_TARGETS else ""


def _compare_verdict(trace: Trace, seen: Seen) -> list[str]:
    verdict = trace.verdict
    found = []
    if verdict.kind != seen.kind:
        found.append(f"verdict: {verdict.kind}, but the kernel's is {seen.kind}")
    elif seen.reject_with not in ("", verdict.reject_with):
        found.append(f"rejected with {verdict.reject_with}, but the kernel answered {seen.reject_with}")
    if seen.hook and trace.hook not in (None, seen.hook):
        found.append(f"hook: {trace.hook}, but in the kernel {seen.hook}")
    return found


def _compare_decision(trace: Trace, seen: Seen) -> list[str]:
    step = trace.verdict.step
    at = (step.table, step.chain, step.number) if step else None
    if seen.deciding is None or at == seen.deciding:
        return []
    return [f"decided by {_describe_place(at)}, but in the kernel by {_describe_place(seen.deciding)}"]


def _compare_path(trace: Trace, seen: Seen) -> list[str]:
    passed: Counter[RuleAt] = Counter()
    for step in trace.steps:
        if step.rule is not None and step.outcome in _MATCHED:
            passed[step.table, step.chain, step.number] += 1
    # Answers of the host take the same path as packets that it refused to send.
    answered = seen.shot.place == HOST and (seen.kind == "REJECT" or seen.sentinels["entered"] > 0)
    return [
        f"matched {_describe_place(at)} {passed[at]} times, but in the kernel {counted}"
        for at in sorted(passed.keys() | seen.counted.keys())
        if at[2]
        and passed[at] != (counted := seen.counted.get(at, 0))
        and not (answered and counted > passed[at])
    ]


def _compare_arrival(world: World, trace: Trace, seen: Seen) -> list[str]:
    found = []
    if seen.kind != "ACCEPT":
        return [f"it was not accepted, but arrived at {seen.arrived[0][0]}"] if seen.arrived else []
    for place, destination, port in seen.arrived:
        if str(trace.destination) != destination or (port is not None and trace.destination_port != port):
            there = f"{trace.destination} port {trace.destination_port}"
            found.append(f"it goes to {there}, but arrived for {destination} port {port}")
        if trace.out_interface != world.interface_of(place):
            found.append(f"it leaves by {trace.out_interface}, but arrived at {place}")
    return found


def _describe_place(at: RuleAt | None) -> str:
    if at is None:
        return "no rule"
    return f"{at[0]} {at[1]} {at[2] or 'policy'}"


def report(loaded: Range, comparison: Comparison, *, title: str, sets: str) -> str:
    """Return all details that are needed to examine a disagreement."""
    trace, seen = comparison.trace, comparison.seen
    lines = [title, "", *(f"- {difference}" for difference in comparison.differences), ""]
    lines += [f"packet    {trace.packet}", f"sent      {seen.shot}", ""]
    lines += [
        f"kernel    {seen.kind} {seen.hook or ''} {seen.reject_with} by {_describe_place(seen.deciding)}"
    ]
    lines += [f"          counted {_describe_place(at)}: {count}" for at, count in seen.counted.items()]
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
