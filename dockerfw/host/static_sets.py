"""The static ipsets in the kernel: created and filled, read back, and destroyed once nothing uses them.

Only sets with the names of `dockerfw.chains.static_sets` are ever changed here. One process of ipset does it
for all sets, because a process for each of a thousand sets would take seconds.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence

from dockerfw.chains.match_groups import USUAL, WITHOUT_IP_SET, Thresholds
from dockerfw.chains.static_sets import (
    SetContents,
    StaticSet,
    UnusableSet,
    carry_counters,
    empty_creation_text,
    filling_text,
    find_difference,
    fits,
    is_static_name,
    is_temporary_name,
    read_contents,
)
from dockerfw.host import sentences
from dockerfw.host.bound_sets import SetsFailed
from dockerfw.host.privileges import scratch_namespace
from dockerfw.host.runner import Command, CommandFailed, command_path, run

# A million elements take four seconds to fill and two to read.
LEAST_SECONDS = 10.0
ELEMENTS_A_SECOND = 25_000
READ_SECONDS = 30.0
# A line of an element has at most 350 bytes, mostly 80.
MOST_BYTES = 256 * 1024 * 1024

_MISSING = "does not exist"
_NOT_INSTALLED = "install the package"
_NOT_PERMITTED = ("Operation not permitted", "Permission denied")
_NO_IP_SET = (
    "Cannot open session",
    "set type not supported",
    "Kernel support protocol",
    "Invalid argument",
    "Protocol not supported",
)
_NO_IP_SET_BEGINS = sentences.NO_IP_SET.partition(" (")[0]
_REFERENCES = re.compile(r"^Name: (\S+)\n(?:.*\n)*?References: (\d+)$", re.MULTILINE)

Held = Mapping[str, SetContents]


def list_static_sets() -> tuple[str, ...]:
    """Return the names of the static sets in the kernel, and of those that a killed process left half filled.

    Raises SetsFailed.
    """
    listed = _run(("ipset", "list", "-name"), seconds=LEAST_SECONDS).decode("ascii", "replace").split()
    return tuple(name for name in listed if is_static_name(name) or is_temporary_name(name))


def read_static_sets(names: Iterable[str] | None = None) -> Held:
    """Return the contents of those of these static sets that exist, by default of all. Raises SetsFailed."""
    wanted = None if names is None else {name for name in names if is_static_name(name)}
    if wanted is not None and not wanted:
        return {}
    existing = [name for name in list_static_sets() if is_static_name(name)]
    found = existing if wanted is None else [name for name in existing if name in wanted]
    return _read(found)


def _read(names: Sequence[str]) -> Held:
    if not names:
        return {}
    # As lines for `restore`, because `save` takes one name and another program's sets may be large.
    text = "".join(f"save {name}\n" for name in names)
    printed = _run(("ipset", "restore"), text, seconds=READ_SECONDS)
    return read_contents(printed.decode("utf-8", "replace"))


def fill_static_sets(
    sets: Iterable[StaticSet], *, owners: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Make each set hold its contents, and return the names of those that did not before.

    A set that exists with other contents gets them in one step, also while rules use it. New elements take
    over the counters of the same network and rule id in other static sets; `owners` are the rules of sets
    whose elements have no ids. Everything is read back. Raises SetsFailed: what was created by then stays and
    changes no traffic.
    """
    wanted = {one.name: one for one in sets}
    if not wanted:
        return ()
    held = read_static_sets()
    for name, one in wanted.items():
        if name in held and not fits(one, held[name]):
            raise SetsFailed(sentences.STATIC_SET_OF_OTHERS.format(name=name, type=held[name].type))
    wrong = [one for name, one in wanted.items() if _differs(one, held.get(name))]
    if not wrong:
        return ()
    try:
        right = wanted.keys() - {one.name for one in wrong}
        # Those that stay keep their counters.
        former = {name: contents for name, contents in held.items() if name not in right}
        text = filling_text(wrong, carry_counters(wrong, former, owners))
    except UnusableSet as error:
        raise SetsFailed(sentences.STATIC_SETS_FAILED.format(why=error)) from None
    count = sum(len(one.members) for one in wrong)
    _run(("ipset", "-exist", "restore"), text, seconds=LEAST_SECONDS + count / ELEMENTS_A_SECOND)
    after = _read([one.name for one in wrong])
    for one in wrong:
        if _differs(one, after.get(one.name)):
            raise SetsFailed(sentences.STATIC_SETS_DIFFER.format(name=one.name))
    return tuple(one.name for one in wrong)


def _differs(one: StaticSet, held: SetContents | None) -> bool:
    return held is None or bool(find_difference(one, held))


def create_missing_sets(names: Iterable[str], known: Iterable[StaticSet] = ()) -> None:
    """Create those of these static sets that do not exist: from the known ones, others without members.

    An empty set allows nothing, but its rules can be loaded. Raises SetsFailed.
    """
    wanted = {name for name in names if is_static_name(name)}
    if not wanted:
        return
    missing = wanted - {*list_static_sets()}
    fill_static_sets(one for one in known if one.name in missing)
    if text := empty_creation_text(sorted(missing - {*list_static_sets()})):
        _run(("ipset", "-exist", "restore"), text, seconds=LEAST_SECONDS)


def destroy_static_sets(needed: Collection[str] = ()) -> tuple[str, ...]:
    """Destroy the static sets that no rule uses and that are not `needed`; return the names of these.

    Raises SetsFailed. A set that a rule uses stays, whatever happens at the same time.
    """
    if not any(name not in needed for name in list_static_sets()):
        return ()
    listed = _run(("ipset", "list", "-terse"), seconds=LEAST_SECONDS).decode("utf-8", "replace")
    unused = [
        name
        for name, references in _REFERENCES.findall(listed)
        if references == "0" and name not in needed and (is_static_name(name) or is_temporary_name(name))
    ]
    # One at a time for the few of an apply would do, but a thousand sets may go at once.
    _run(("ipset", "restore"), "".join(f"destroy {name}\n" for name in unused), seconds=LEAST_SECONDS)
    return tuple(unused)


@functools.cache
def find_ip_set_fault() -> str | None:
    """Return why the kernel cannot have static sets, empty when it can, None when that cannot be tried.

    It is tried in a network namespace of its own, once in each process.
    """
    scratch = scratch_namespace()
    try:
        run(Command((*scratch, "true")))
    except CommandFailed:
        return None
    name = f"dockerfw4-s{'0' * 20}"
    try:
        run(Command((*scratch, "ipset", "restore"), empty_creation_text([name]).encode()))
    except CommandFailed as failure:
        return describe_failure(failure)
    return ""


def remember_ip_set() -> None:
    """Find out for all processes that are forked from now on that the kernel can have static sets.

    That it cannot is not remembered, because a module or a package may be installed later.
    """
    if find_ip_set_fault() != "":
        find_ip_set_fault.cache_clear()


def lacks_ip_set() -> bool:
    """Return True if the command ipset is missing or the kernel has no ip_set, False if that is unknown."""
    if shutil.which("ipset", path=command_path()) is None:
        return True
    return (find_ip_set_fault() or "").startswith(_NO_IP_SET_BEGINS)


def ip_set_limits() -> Thresholds:
    """Return the sizes at which rules change their form, on this host."""
    return WITHOUT_IP_SET if lacks_ip_set() else USUAL


def _run(words: tuple[str, ...], text: str | None = None, *, seconds: float) -> bytes:
    if text == "":
        return b""
    try:
        stdin = None if text is None else text.encode("ascii")
        return run(Command(words, stdin, seconds, most_bytes=MOST_BYTES))
    except CommandFailed as failure:
        raise SetsFailed(describe_failure(failure)) from None


def describe_failure(failure: CommandFailed, otherwise: str = sentences.STATIC_SETS_FAILED) -> str:
    """Return one sentence that says what to do about a failure of ipset, or fill in `otherwise`."""
    said = str(failure)
    if failure.exit_status is None and _NOT_INSTALLED in said:
        return sentences.IPSET_NOT_INSTALLED
    why = failure.stderr.strip() or failure.reason
    if any(words in said for words in _NOT_PERMITTED):
        return sentences.SETS_NOT_PERMITTED.format(why=why)
    if any(words in said for words in _NO_IP_SET):
        return sentences.NO_IP_SET.format(why=why)
    return otherwise.format(why=failure)
