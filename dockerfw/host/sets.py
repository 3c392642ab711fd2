"""The ipsets that rules name, with their members as far as they are small enough.

A set that is too large or cannot be read comes without members: whether an address is in it is then unknown.
This module changes no set.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence

from dockerfw.chains.bound_sets import follows_host
from dockerfw.chains.static_sets import is_static_name
from dockerfw.host.runner import Command, CommandFailed, run_all
from dockerfw.host.saved_sets import save_sets
from dockerfw.iptables.model import Family
from dockerfw.messages.surroundings import MAX_CONTAINER_SETS, MAX_NAME, MAX_SET_MEMBERS, MAX_SETS, SetMembers

MAX_MEMBERS_TOTAL = 50_000
MAX_DEPTH = 2
# Each set takes one or two processes, and the root worker's number of processes is limited.
AT_ONCE = 16

_NAMED = re.compile(r" --match-set (\S{1,31}) (?:src|dst)")
_ENTRIES = re.compile(rb"^Number of entries: (\d+)$", re.MULTILINE)
_HEADER = re.compile(rb"^Header: (.*)$", re.MULTILINE)
_TYPE = re.compile(rb"^Type: (\S{1,64})$", re.MULTILINE)

Answer = bytes | CommandFailed


def read_named_sets(saves: Mapping[Family, str]) -> tuple[SetMembers, ...]:
    """Return the sets that the rules of these saves name, and the sets in those of type list:set.

    Static sets are left out.
    """
    named = {name for save in saves.values() for name in _NAMED.findall(save)}
    # The members of static sets are in the revision, and there may be very many.
    names = sorted(name for name in named if not is_static_name(name))
    own = _read_own_sets([name for name in names if follows_host(name)])
    names = [name for name in names if name not in own]
    found: dict[str, SetMembers] = {}
    left = MAX_MEMBERS_TOTAL
    for _ in range(MAX_DEPTH):
        names = names[: MAX_SETS - len(found)]
        heads = _list([("ipset", "-terse", "list", name) for name in names])
        small = [name for name, head in zip(names, heads, strict=True) if _entries(head) <= MAX_SET_MEMBERS]
        saved = dict(zip(small, _list([("ipset", "save", name) for name in small]), strict=True))
        names_in = []
        for name, head in zip(names, heads, strict=True):
            members = _members(name, saved.get(name))
            if members is not None and len(members) > left:
                members = None
            left -= len(members or ())
            found[name] = SetMembers(name, _kind(head), members, _options(head))
            if found[name].kind == "list:set":
                names_in += [member for member in members or () if member not in found]
        names = sorted(set(names_in))
    return (*found.values(), *own.values())


def _read_own_sets(names: Sequence[str]) -> Mapping[str, SetMembers]:
    """Return dockerfw's sets of what this host shows, with one process for all; none where that fails."""
    found: dict[str, SetMembers] = {}
    left = MAX_MEMBERS_TOTAL
    with contextlib.suppress(CommandFailed):
        for name, each in save_sets(names[:MAX_CONTAINER_SETS]).items():
            left -= len(each.members)
            members = tuple(each.members) if left >= 0 and len(each.members) <= MAX_SET_MEMBERS else None
            found[name] = SetMembers(name, each.type, members, each.options[:MAX_NAME])
    return found


def _list(commands: list[tuple[str, ...]]) -> list[Answer]:
    answers: list[Answer] = []
    for start in range(0, len(commands), AT_ONCE):
        answers += run_all([Command(words) for words in commands[start : start + AT_ONCE]])
    return answers


def _entries(head: Answer) -> float:
    count = _ENTRIES.search(head) if isinstance(head, bytes) else None
    return int(count[1]) if count else float("inf")


def _kind(head: Answer) -> str:
    kind = _TYPE.search(head) if isinstance(head, bytes) else None
    return kind[1].decode("ascii", "replace") if kind else ""


def _options(head: Answer) -> str:
    options = _HEADER.search(head) if isinstance(head, bytes) else None
    return options[1].decode("ascii", "replace")[:MAX_NAME] if options else ""


def _members(name: str, saved: Answer | None) -> tuple[str, ...] | None:
    """Read the members from `add NAME MEMBER …`; None without a save, or if the set has grown too large."""
    if not isinstance(saved, bytes):
        return None
    start = f"add {name} "
    lines = saved.decode("utf-8", "replace").splitlines()
    members = tuple(line.removeprefix(start) for line in lines if line.startswith(start))
    return members if len(members) <= MAX_SET_MEMBERS and all(len(m) <= MAX_NAME for m in members) else None
