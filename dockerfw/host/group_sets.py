"""The sets of lists in the kernel: filled in one step, also a million members, and read back."""

from __future__ import annotations

import re
from collections.abc import Collection

from dockerfw.chains.bound_sets import usual_spelling
from dockerfw.chains.group_sets import BOUND_GROUP_SET, render_group_set
from dockerfw.host import sentences
from dockerfw.host.bound_sets import SetsFailed
from dockerfw.host.runner import Command, CommandFailed, run
from dockerfw.host.static_sets import describe_failure

LEAST_SECONDS = 10.0
# A million elements take some four seconds to fill, and two to read.
ELEMENTS_A_SECOND = 25_000
# A line of an IPv6 network has up to 100 bytes.
MOST_BYTES = 128 * 1024 * 1024
_MISSING = "does not exist"
_ENTRIES = re.compile(rb"^Number of entries: (\d+)$", re.MULTILINE)


def list_group_sets() -> tuple[str, ...]:
    """Return the names of the groups' sets that exist, sorted. Raises SetsFailed."""
    listed = _run(("ipset", "list", "-name"), None, LEAST_SECONDS).decode("ascii", "replace").split()
    return tuple(sorted(name for name in listed if BOUND_GROUP_SET.fullmatch(name)))


def fill_group_set(name: str, members: Collection[str]) -> None:
    """Give a set these members in one step, also while rules use it, and read it back.

    Members are canonical networks, as ipset prints them. Hold the lock on the lists. Raises SetsFailed: the
    set then keeps its former members, unless the kernel holds others than it was given.
    """
    seconds = LEAST_SECONDS + len(members) / ELEMENTS_A_SECOND
    _run(("ipset", "-exist", "restore"), render_group_set(name, members), seconds)
    held = read_group_set(name)
    wanted = set(members)
    if held != wanted:
        right = len(wanted & (held or set()))
        raise SetsFailed(sentences.GROUP_SETS_DIFFER.format(name=name, found=right, wanted=len(wanted)))


def read_group_set(name: str) -> set[str] | None:
    """Return the members of a set, None if it does not exist. Raises SetsFailed."""
    try:
        printed = run(Command(("ipset", "save", name), seconds=60.0, most_bytes=MOST_BYTES))
    except CommandFailed as failure:
        if _MISSING in failure.stderr:
            return None
        raise SetsFailed(describe_failure(failure, sentences.GROUP_SETS_FAILED)) from None
    start = f"add {name} "
    lines = printed.decode("ascii", "replace").splitlines()
    return {_spelled(line.removeprefix(start).split()[0]) for line in lines if line.startswith(start)}


def count_members(name: str) -> int | None:
    """Return the number of members of a set by the kernel's own count, None if it does not exist.

    Raises SetsFailed.
    """
    try:
        printed = run(Command(("ipset", "-terse", "list", name), seconds=LEAST_SECONDS))
    except CommandFailed as failure:
        if _MISSING in failure.stderr:
            return None
        raise SetsFailed(describe_failure(failure, sentences.GROUP_SETS_FAILED)) from None
    found = _ENTRIES.search(printed)
    return int(found[1]) if found else None


def _spelled(member: str) -> str:
    return usual_spelling(member) if ":" in member and "." in member else member


def _run(words: tuple[str, ...], text: str | None, seconds: float) -> bytes:
    try:
        return run(Command(words, None if text is None else text.encode("ascii"), seconds))
    except CommandFailed as failure:
        raise SetsFailed(describe_failure(failure, sentences.GROUP_SETS_FAILED)) from None
