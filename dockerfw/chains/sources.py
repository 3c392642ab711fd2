"""The sources of a rule for one IP version: networks, and the sets of groups that are filled at run time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dockerfw.chains.group_sets import bound_group_set
from dockerfw.document.rule_fields import group_of
from dockerfw.document.values import DocumentRule, Group
from dockerfw.iptables.model import Family


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """The sources of a rule; `anyone` if it has no limits, or a network that is everything.

    `networks` are as in a document, each once. `bound` are the names of the sets of feeds, DNS names and
    countries.
    """

    anyone: bool
    networks: tuple[str, ...]
    bound: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of sources, each of which can be a line."""
        return self.anyone + len(self.networks) + len(self.bound)


class SourceReader:
    """Reads the sources of rules for one IP version; rules that name the same get the same value."""

    def __init__(self, groups: Iterable[Group], family: Family) -> None:
        """Take the groups of the document."""
        self._groups = {f"@{group.name}": group for group in groups}
        self._family = family
        self._known: dict[tuple[str, ...], Sources | None] = {}

    def read(self, rule: DocumentRule) -> Sources | None:
        """Return the sources of a rule, None if it has only some of the other IP version."""
        if rule.sources not in self._known:
            self._known[rule.sources] = self._read(rule.sources)
        return self._known[rule.sources]

    def _read(self, named: tuple[str, ...]) -> Sources | None:
        if not named:
            return Sources(True, (), ())
        if len(named) == 1 and not group_of(named[0]) and not named[0].endswith("/0"):
            return Sources(False, named, ()) if (":" in named[0]) == (self._family == 6) else None
        networks: dict[str, None] = {}
        bound: dict[str, None] = {}
        for text in named:
            group = self._groups[text] if group_of(text) else None
            if group is not None and group.kind != "static":
                bound[bound_group_set(group, self._family)] = None
                continue
            for network in group.entries if group is not None else (text,):
                if (":" in network) == (self._family == 6):
                    networks[network] = None
        limited = tuple(network for network in networks if not network.endswith("/0"))
        found = Sources(len(limited) < len(networks), limited, tuple(bound))
        return found if found.count else None
