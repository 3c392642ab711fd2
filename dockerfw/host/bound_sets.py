"""The bound ipsets in the kernel: created, filled in one step, read and destroyed with the command ipset.

Only the sets in `dockerfw.chains.bound_sets` are ever changed here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from dockerfw.chains.bound_sets import (
    bound_set,
    follows_host,
    is_bound_set,
    render_contents,
    render_creation,
    usual_spelling,
)
from dockerfw.host import sentences
from dockerfw.host.errors import HostError
from dockerfw.host.runner import Command, CommandFailed, run, run_all
from dockerfw.host.saved_sets import save_sets

SECONDS = 10.0
# Each command is a process, and the root worker's number of processes is limited.
AT_ONCE = 16
_MISSING = "does not exist"


class SetsFailed(HostError):  # noqa: N818 - it states a fact
    """The bound sets cannot be created, filled or read; the text says why."""


def create_bound_sets(names: Iterable[str]) -> None:
    """Create the sets that do not exist; those that do keep their members. Raises SetsFailed."""
    wanted = tuple(names)
    existing: tuple[str, ...] = ()
    # (`create` of a list that exists fails where the sizes differ, also with -exist.)
    if not all(map(follows_host, wanted)):
        existing = list_bound_sets()
    text = render_creation(name for name in wanted if name not in existing)
    if text:
        _restore(text, sentences.SETS_NOT_CREATED)


def fill_bound_set(name: str, members: Iterable[str]) -> None:
    """Give an existing set these members, all in one step. Raises SetsFailed: it keeps its former ones."""
    fill_bound_sets({name: tuple(members)})


def fill_bound_sets(contents: Mapping[str, Sequence[str]]) -> None:
    """Give existing sets these members, each in one step. Raises SetsFailed: some keep their former ones.

    A member that does not belong into its set is refused before a command runs.
    """
    for name, members in contents.items():
        found = bound_set(name)
        wrong = next((member for member in members if not found.takes(member)), None)
        if wrong is not None or len(members) > found.most:
            raise SetsFailed(sentences.SET_REFUSES.format(name=name, member=repr(wrong), most=found.most))
    if contents:
        text = "".join(render_contents(name, members) for name, members in contents.items())
        _restore(text, sentences.SET_NOT_FILLED)


def list_bound_sets() -> tuple[str, ...]:
    """Return the names of the bound sets that exist, sorted. Raises SetsFailed."""
    try:
        listed = run(Command(("ipset", "list", "-name"), seconds=SECONDS))
    except CommandFailed as failure:
        raise SetsFailed(sentences.SETS_NOT_READ.format(why=failure)) from None
    return tuple(sorted(filter(is_bound_set, listed.decode("utf-8", "replace").split())))


def read_bound_sets(names: Iterable[str] | None = None) -> Mapping[str, tuple[str, ...]]:
    """Return the members of those of these sets that exist, sorted; None are all. Raises SetsFailed."""
    wanted = list_bound_sets() if names is None else tuple(names)
    with contextlib.suppress(CommandFailed):
        saved = save_sets(wanted)
        return {name: tuple(sorted(map(usual_spelling, each.members))) for name, each in saved.items()}
    # One may be missing.
    found: dict[str, tuple[str, ...]] = {}
    for name, result in zip(wanted, _run_each("save", wanted), strict=True):
        if isinstance(result, CommandFailed):
            if _MISSING in result.stderr:
                continue
            raise SetsFailed(sentences.SETS_NOT_READ.format(why=result))
        start = f"add {name} "
        lines = result.decode("utf-8", "replace").splitlines()
        added = (line.removeprefix(start) for line in lines if line.startswith(start))
        found[name] = tuple(sorted(map(usual_spelling, added)))
    return found


def destroy_bound_sets(names: Iterable[str]) -> tuple[str, ...]:
    """Destroy those of these sets that no rule uses, and return the names of those that are gone.

    Never raises: the kernel keeps a set that a rule uses.
    """
    wanted = [name for name in names if is_bound_set(name)]
    # A fill that was killed may have left these.
    _run_each("destroy", [bound_set(name).new_name for name in wanted])
    results = zip(wanted, _run_each("destroy", wanted), strict=True)
    return tuple(
        name for name, result in results if not isinstance(result, CommandFailed) or _MISSING in result.stderr
    )


def _run_each(verb: str, names: Sequence[str]) -> list[bytes | CommandFailed]:
    results: list[bytes | CommandFailed] = []
    for start in range(0, len(names), AT_ONCE):
        batch = names[start : start + AT_ONCE]
        results += run_all([Command(("ipset", verb, name), seconds=SECONDS) for name in batch])
    return results


def _restore(text: str, sentence: str) -> None:
    try:
        run(Command(("ipset", "-exist", "restore"), text.encode("ascii"), SECONDS))
    except CommandFailed as failure:
        raise SetsFailed(sentence.format(why=failure)) from None
