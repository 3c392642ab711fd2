"""Several ipsets read by one process, which is for sets that are known to be small. It changes no set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dockerfw.host.runner import Command, CommandFailed, run

SECONDS = 30.0


@dataclass(slots=True)
class SavedSet:
    """A set as `ipset save` prints it: its type, the options of its `create` line, and its members."""

    type: str
    options: str
    members: list[str] = field(default_factory=list)


def save_sets(names: Sequence[str]) -> Mapping[str, SavedSet]:
    """Return these sets by name. Raises CommandFailed, also if one of them does not exist."""
    if not names:
        return {}
    # As lines for `restore`, because `save` takes one name, and sets of other programs may be large.
    text = "".join(f"save {name}\n" for name in names)
    printed = run(Command(("ipset", "restore"), text.encode("ascii"), SECONDS)).decode("utf-8", "replace")
    found: dict[str, SavedSet] = {}
    for line in printed.splitlines():
        verb, _, rest = line.partition(" ")
        name, _, words = rest.partition(" ")
        if verb == "create":
            kind, _, options = words.partition(" ")
            found[name] = SavedSet(kind, options)
        elif verb == "add" and name in found:
            found[name].members.append(words)
    if missing := [name for name in names if name not in found]:
        raise CommandFailed(("ipset", "save", missing[0]), "printed nothing", None, "")
    return found
