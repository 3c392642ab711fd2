"""Loads restore texts: in a rehearsal that can break nothing, into the kernel, and to roll back.

It runs the restore programs and finds the line that they refused. The texts come from `dockerfw.chains`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dockerfw.chains.bound_sets import UnknownSet, bound_sets_of, render_creation
from dockerfw.chains.log_lines import without_log_lines
from dockerfw.chains.names import is_log_line
from dockerfw.chains.rehearsal import render_rehearsal
from dockerfw.chains.static_sets import StaticSet, empty_creation_text, static_sets_named
from dockerfw.chains.undo import is_undone, render_undo
from dockerfw.host import sentences
from dockerfw.host.backend import SAVE_SECONDS, restore_words
from dockerfw.host.bound_sets import SetsFailed, create_bound_sets
from dockerfw.host.errors import HostError
from dockerfw.host.exact_rules import exact_load
from dockerfw.host.hooks import checkpoint
from dockerfw.host.privileges import scratch_namespace
from dockerfw.host.reading import look
from dockerfw.host.runner import Command, CommandFailed, run, run_all
from dockerfw.host.scratch import LOCK_FILE, SETS_FILES, scratch_folder
from dockerfw.host.static_sets import create_missing_sets
from dockerfw.host.time_limits import extra_seconds
from dockerfw.iptables.model import Backend, Family, Ruleset

RESTORE_SECONDS = 20.0
# The limits of each try to roll back; large texts add to them. The first is short: a deadline waits for it.
ROLL_BACK_SECONDS = (3.0, 10.0, RESTORE_SECONDS)
# Creates the sets of the file $1 in the same namespace, and then runs the other words.
_WITH_SETS = 'ipset -exist restore -file "$1" && shift && exec "$@"'
_LINE_NUMBER = re.compile(r"\bline:? (\d+)")


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """The line of a restore text that iptables refused; its number counts from 1."""

    number: int
    text: str


class RestoreFailed(HostError):  # noqa: N818 - it states a fact
    """iptables refused a restore text: the failed command, and the line if iptables named one.

    `may_be_log` is True if the text has log lines and one of them may be what the kernel refused.
    """

    def __init__(self, family: Family, failure: CommandFailed, text: str) -> None:
        self.family = family
        self.failure = failure
        self.line = _find_refused_line(failure.stderr, text)
        where = f" at line {self.line.number}: {self.line.text}" if self.line else ""
        super().__init__(f"IPv{family}: {failure}{where}")
        # A legacy restore names the COMMIT of a table that the kernel refuses, and not the line.
        named = self.line.text if self.line else "COMMIT"
        self.may_be_log = " -j NFLOG " in text and (named == "COMMIT" or is_log_line(named))


def _find_refused_line(stderr: str, text: str) -> RefusedLine | None:
    """Return the line of `text` that iptables names ("line 7 failed", "line 7: RULE_APPEND failed")."""
    found = _LINE_NUMBER.search(stderr)
    lines = text.split("\n")
    if found is None or not 1 <= int(found.group(1)) <= len(lines):
        return None
    number = int(found.group(1))
    return RefusedLine(number, lines[number - 1])


def rehearse(backend: Backend, live: Mapping[Family, Ruleset], restores: Mapping[Family, str]) -> None:
    """Load each text in an empty namespace, after a copy of the live filter table. Raises RestoreFailed.

    The sets that a text names are created there first. They are empty, which is enough for a load. `--test`
    is not enough: it accepts jumps to chains that do not exist.
    """
    texts = {family: render_rehearsal(live[family], text) for family, text in restores.items()}
    scratch = scratch_namespace()
    with scratch_folder() as directory:
        # The rehearsal has a lock of its own, because it changes nothing that the machine's lock protects.
        environment = {"XTABLES_LOCKFILE": str(directory / LOCK_FILE)}
        commands = [
            Command(
                (*scratch, *words, *restore_words(backend, family)),
                _bytes(text),
                RESTORE_SECONDS + extra_seconds(text),
                environment,
            )
            for family, text in texts.items()
            for words in [making_sets(restores[family], directory / SETS_FILES[family])]
        ]
        results = run_all(commands)
    for (family, text), result in zip(texts.items(), results, strict=True):
        if isinstance(result, CommandFailed):
            raise RestoreFailed(family, result, text)


def rehearse_with_log(
    backend: Backend, live: Mapping[Family, Ruleset], restores: Mapping[Family, str]
) -> tuple[dict[Family, str], RestoreFailed | None]:
    """Rehearse texts, and again without their log lines if the kernel may have refused these.

    A kernel that cannot log has to protect all the same. Return the texts that it loads, and why the log
    lines are not in them, None where they are. Raises RestoreFailed.
    """
    try:
        rehearse(backend, live, restores)
    except RestoreFailed as failure:
        without = {family: without_log_lines(text) for family, text in restores.items()}
        if not failure.may_be_log or without == restores:
            raise
        rehearse(backend, live, without)
        return without, failure
    return dict(restores), None


def making_sets(text: str, file: Path) -> tuple[str, ...]:
    """Return the words before a command that create the sets which a text names; none for a text without."""
    creation = render_creation(bound_sets_of([text])) + empty_creation_text(static_sets_named(text))
    if not creation:
        return ()
    file.write_text(creation)
    return ("sh", "-c", _WITH_SETS, "sh", str(file))


def load(backend: Backend, family: Family, text: str, *, seconds: float | None = None) -> None:
    """Load one family's text into the kernel, all of it or nothing. Raises RestoreFailed.

    `seconds` is the time limit without what the lines of the text add to it.
    """
    limit = (seconds or RESTORE_SECONDS) + extra_seconds(text)
    try:
        with exact_load(changes_rules=backend == "nft" and " -j " in text):
            run(Command(restore_words(backend, family), _bytes(text), limit))
    except CommandFailed as failure:
        raise RestoreFailed(family, failure, text) from None


def restore_previous(
    backend: Backend,
    before: Mapping[Family, Ruleset],
    restores: Mapping[Family, str],
    sets: Sequence[StaticSet] = (),
) -> None:
    """Restore the rules that each family had before its text was loaded, and check that they are there.

    Static sets of theirs that are gone are filled again from `sets`, or else created empty. It reads the
    kernel first, so it is right whether or not a text was loaded. It tries again when it fails, because other
    programs may change rules at the same time. Raises RestoreFailed, CommandFailed, and RollBackFailed if the
    kernel still differs.
    """
    for seconds in ROLL_BACK_SECONDS[:-1]:
        with contextlib.suppress(RestoreFailed, CommandFailed, RollBackFailed):
            return _restore_once(backend, before, restores, sets, min(seconds, RESTORE_SECONDS))
    return _restore_once(backend, before, restores, sets, RESTORE_SECONDS)


def _restore_once(
    backend: Backend,
    before: Mapping[Family, Ruleset],
    restores: Mapping[Family, str],
    sets: Sequence[StaticSet],
    seconds: float,
) -> None:
    more = extra_seconds(*restores.values())
    now = look(backend, seconds=seconds + more).rulesets
    for family, text in restores.items():
        undo = render_undo(before[family], now[family], text)
        if undo:
            # A program may have destroyed them while no loaded rule named them.
            with contextlib.suppress(SetsFailed, UnknownSet):
                create_bound_sets(bound_sets_of([undo]))
            with contextlib.suppress(SetsFailed):
                create_missing_sets(static_sets_named(undo), sets)
            load(backend, family, undo, seconds=seconds)
            # The rules of before may be many more than those that they replace.
            more += extra_seconds(undo)
            checkpoint(f"rollback-ipv{family}")
    after = look(backend, seconds=SAVE_SECONDS + more).rulesets
    different = [
        family for family, text in restores.items() if not is_undone(before[family], after[family], text)
    ]
    if different:
        names = " and ".join(f"IPv{family}" for family in different)
        raise RollBackFailed(sentences.NOT_RESTORED.format(families=names))


class RollBackFailed(HostError):  # noqa: N818 - it states a fact
    """The rules that the kernel had before an apply could not be restored."""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
