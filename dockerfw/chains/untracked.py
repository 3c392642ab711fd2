"""Rules of others that keep packets from connection tracking, on which dockerfw's rules rely.

An untracked packet is never ESTABLISHED, so answers to the host need a rule of their own, and it has no port
that the client dialled, so rules for published ports do not match it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dockerfw.chains import sentences
from dockerfw.chains.owners import called_rules
from dockerfw.chains.warnings import PlanWarning
from dockerfw.iptables.model import Family, Rule, Ruleset

_LOOPBACK = ("-i", "-o")


def untracked_warnings(family: Family, live: Ruleset) -> Iterator[PlanWarning]:
    """Warn about each rule of the raw table that stops tracking, except for the loopback interface."""
    for start in ("PREROUTING", "OUTPUT"):
        for rule in called_rules(live, "raw", start):
            if _stops_tracking(rule) and not _is_for_loopback(rule):
                yield PlanWarning("untracked", sentences.untracked(family, rule.text), family)


def _stops_tracking(rule: Rule) -> bool:
    target = rule.target
    if target is None:
        return False
    return target.name == "NOTRACK" or (
        target.name == "CT" and any(option.name == "--notrack" for option in target.options)
    )


def _is_for_loopback(rule: Rule) -> bool:
    return any(
        option.name in _LOOPBACK and option.values == ("lo",) and not option.negated
        for match in rule.matches
        for option in match.options
    )
