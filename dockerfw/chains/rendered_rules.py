"""The rules of dockerfw for one family as a value, with the text that keeps it.

`render.py` makes a rendering from a document. One that is read from a kept text stays as it was loaded, also
when a later release would render the same document in another way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dockerfw.chains.names import DOCKER_USER, INPUT, OWN_CHAINS
from dockerfw.chains.static_sets import StaticSet, static_sets_named

_RULE = re.compile(r"(?:\[\d+:\d+\] )?-A (\S+) (.*)")
_JUMP = re.compile(r"(?:\[\d+:\d+\] )?-I (\S+) 1 (.*)")


@dataclass(frozen=True, slots=True)
class Rendering:
    """The rules of dockerfw's chains, and by calling chain the jumps to them; each without `-A CHAIN`.

    `sets` are the static sets that the rules match, by name.
    """

    chains: Mapping[str, tuple[str, ...]]
    jumps: Mapping[str, tuple[str, ...]]
    sets: tuple[StaticSet, ...] = ()

    def to_text(self) -> str:
        """Return the restore text that loads all of it on a host that has DOCKER-USER and none of this."""
        lines = ["*filter", *(f":{name} - [0:0]" for name in self.chains)]
        lines += [f"-A {name} {rule}" for name, rules in self.chains.items() for rule in rules]
        # Each is inserted first, so the last one is written first.
        lines += [f"-I {name} 1 {text}" for name, texts in self.jumps.items() for text in reversed(texts)]
        return "\n".join([*lines, "COMMIT", ""])

    def with_sets(self, sets: Iterable[StaticSet]) -> Rendering:
        """Return the rendering with those of these sets that its rules match."""
        named = set(static_sets_named("\n".join(rule for rules in self.chains.values() for rule in rules)))
        return replace(self, sets=tuple(one for one in sets if one.name in named))


def read_rendering(text: str) -> Rendering:
    """Read a restore text that dockerfw wrote; counters, deletions and created chains are left out."""
    chains: dict[str, list[str]] = {name: [] for name in OWN_CHAINS}
    jumps: dict[str, list[str]] = {INPUT: [], DOCKER_USER: []}
    for line in text.split("\n"):
        if found := _RULE.fullmatch(line):
            chains.setdefault(found[1], []).append(found[2])
        elif found := _JUMP.fullmatch(line):
            jumps.setdefault(found[1], []).insert(0, found[2])
    return Rendering(
        {name: tuple(rules) for name, rules in chains.items()},
        {name: tuple(texts) for name, texts in jumps.items()},
    )
