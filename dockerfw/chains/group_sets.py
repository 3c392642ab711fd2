"""The names of the bound sets of groups: feeds, DNS names and countries.

A set is named by a digest of the group's definition, and not by its name or comment, so that a renamed group
keeps its set. What is in the set is a binding and not part of a document.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from typing import Final

from dockerfw.chains.bound_sets import bound_set
from dockerfw.document.values import Group
from dockerfw.iptables.model import Family

BOUND_GROUP_SET: Final = re.compile(r"dockerfw([46])-b([0-9a-f]{20})", re.ASCII)
"""The name of a bound set of a group: its IP version and the digest of the definition."""
_LEAST_HASHSIZE: Final = 64
_MOST_HASHSIZE: Final = 1 << 20


def group_definition(group: Group) -> str:
    """Return a digest of 20 hex digits of the definition of a group. Raises ValueError for a static one.

    The definition is the kind with the URL, the names or the countries, in canonical JSON.
    """
    parts: dict[str, object] = {"kind": group.kind}
    if group.kind == "feed":
        parts["url"] = group.url
    elif group.kind == "names":
        parts["names"] = sorted(set(group.names))
    elif group.kind == "countries":
        parts["countries"] = sorted(set(group.countries))
    else:
        raise ValueError(f"the group {group.name} is {group.kind}: its networks are in the document")
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:20]


def bound_set_name(definition: str, family: Family) -> str:
    """Return the name of the set of a definition of `group_definition`, at most 31 bytes."""
    return f"dockerfw{family}-b{definition}"


def bound_group_set(group: Group, family: Family) -> str:
    """Return the name of the set of a group in the kernel. Raises ValueError for a static group."""
    return bound_set_name(group_definition(group), family)


def render_group_set(name: str, members: Collection[str]) -> str:
    """Return the text for `ipset -exist restore` that gives a set these members, all in one step.

    It is filled under another name first, so that rules never match a half filled one. Raises UnknownSet for
    another name than one of `bound_set_name`.
    """
    found = bound_set(name)
    new, hashsize = (
        found.new_name,
        min(_MOST_HASHSIZE, max(_LEAST_HASHSIZE, 1 << (len(members) // 2).bit_length())),
    )
    added = "".join(f"add {new} {member}\n" for member in members)
    # (An earlier try may have been killed before it destroyed the new set.)
    return (
        f"{found.creation(new)} hashsize {hashsize}\nflush {new}\n{added}{found.creation()}\n"
        f"swap {new} {name}\ndestroy {new}\n"
    )
