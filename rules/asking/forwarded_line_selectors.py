"""Put into words what reaches the destinations behind a host that are no container's, with possible actions.

exposure_line_selectors.py does the same for the ports of the host and of containers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dockerfw.document.document import DocumentRule
from dockerfw.reach.change_sentences import describe_destination
from dockerfw.reach.forwarded_reach import ForwardedRow
from rules.asking.exposure_line_selectors import AccessWords, Action, access_words, is_refused_by_us, who_json


@dataclass(frozen=True, slots=True)
class ForwardedLine:
    """What reaches one destination: everything, or some of its ports."""

    row: ForwardedRow
    what: str
    place: str
    access: tuple[AccessWords, ...]
    action: Action | None

    def holds(self, words: Iterable[str]) -> bool:
        """Return True if the line contains every word."""
        said = [self.what, self.place, *(each.words for each in self.access)]
        said += [by.text for each in self.access for by in each.by]
        text = " ".join(said).casefold()
        return all(word in text for word in words)


def forwarded_lines(
    rows: Iterable[ForwardedRow], rules: Mapping[str, DocumentRule], *, loaded: bool
) -> tuple[ForwardedLine, ...]:
    """Return the rows in words; the arguments are those of `exposure_lines`."""
    return tuple(
        ForwardedLine(
            row=row,
            what=row.what,
            place=describe_destination(row.destination.text, row.destination.interface),
            access=tuple(access_words(row.access, rules)),
            action=_action(row, rules, loaded=loaded),
        )
        for row in rows
    )


def forwarded_json(line: ForwardedLine) -> dict[str, object]:
    """Return a line as JSON values, networks in full."""
    destination = line.row.destination
    return {
        "destination": str(destination.network),
        "interface": destination.interface or None,
        "what": line.what,
        "level": line.row.level,
        "who": [who_json(who) for who in line.row.access],
    }


def _action(row: ForwardedRow, rules: Mapping[str, DocumentRule], *, loaded: bool) -> Action | None:
    """Return the action by which one of our rules would change the answer."""
    key = next((key for who in row.access for key in who.rules if key in rules), "")
    passes = any(who.passes for who in row.access)
    if key and passes:
        return Action("restrict", key, {})
    # The first load refuses what no rule allows, so there is nothing to restrict before it.
    needs_rule = any(map(is_refused_by_us, row.access)) or (passes and not loaded)
    return Action("allow", "", dict(row.allow)) if needs_rule else None
