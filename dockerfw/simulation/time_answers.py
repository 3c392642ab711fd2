"""What the `-m time` matches of a ruleset answer at a moment: results stay valid while they stay the same."""

from __future__ import annotations

from typing import Final

from dockerfw.iptables.model import Family, Ruleset
from dockerfw.simulation.conditions import Condition
from dockerfw.simulation.match_readers import Reader, normalise_rule
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings

TIME_MATCH: Final = "-m time"
"""In the text of every rule with such a match, and in the save that it is from."""


def time_answers(ruleset: Ruleset, family: Family, at: int | None) -> tuple[bool | None, ...]:
    """Return the answers at a moment in UTC seconds, None where one cannot be told.

    Two moments with the same answers have the same results. A ruleset without `-m time` has no answers.
    """
    reader, state = Reader(Surroundings(), family), PacketState(family, 0, None, at=at)
    found: list[bool | None] = []
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            for rule in chain.rules:
                if TIME_MATCH not in rule.text:
                    continue
                matches, _ = normalise_rule(rule, family)
                conditions = reader.conditions(tuple(match for match in matches if match.module == "time"))
                found += [one.decide(state) for one in conditions if isinstance(one, Condition)]
    return tuple(found)
