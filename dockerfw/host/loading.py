"""Load restore texts into the kernel: first a rehearsal where nothing can break, then for real, or back.

Owns the running of the restore programs and the reading of what they complain about. What a text says is
decided elsewhere; this never loads a text that it was not given, except the way back that `undo` works out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.chains.rehearsal import render_rehearsal
from dockerfw.chains.undo import is_undone, render_undo
from dockerfw.host.backend import SAVE_SECONDS, read_saves, restore_words
from dockerfw.host.hooks import reached
from dockerfw.host.privileges import scratch_namespace
from dockerfw.host.runner import Command, CommandFailed, run, run_all
from dockerfw.host.scratch import LOCK_FILE, scratch_folder
from dockerfw.iptables.model import Backend, Family, Ruleset
from dockerfw.iptables.parse import parse_save

RESTORE_SECONDS = 20.0
# Limits for one try of the way back: the first is short, since a deadline waits for it.
WAY_BACK_SECONDS = (3.0, 10.0, RESTORE_SECONDS)
_LINE_NUMBER = re.compile(r"\bline:? (\d+)")


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """The line of a restore text that iptables complained about; it counts from 1."""

    number: int
    text: str


class RestoreFailed(Exception):  # noqa: N818 - it states a fact
    """iptables did not take a restore text: the command's failure, and the line where it names one."""

    def __init__(self, family: Family, failure: CommandFailed, text: str) -> None:
        self.family = family
        self.failure = failure
        self.line = refused_line(failure.stderr, text)
        where = f" at line {self.line.number}: {self.line.text}" if self.line else ""
        super().__init__(f"IPv{family}: {failure}{where}")


def refused_line(stderr: str, text: str) -> RefusedLine | None:
    """Find the line of `text` that iptables names ("line 7 failed", "line 7: RULE_APPEND failed")."""
    found = _LINE_NUMBER.search(stderr)
    lines = text.split("\n")
    if found is None or not 1 <= int(found.group(1)) <= len(lines):
        return None
    number = int(found.group(1))
    return RefusedLine(number, lines[number - 1])


def rehearse(backend: Backend, live: Mapping[Family, Ruleset], restores: Mapping[Family, str]) -> None:
    """Load each text in an empty namespace that got the live filter table first. Raises RestoreFailed.

    `--test` would not do: it accepts jumps to chains that do not exist.
    """
    texts = {family: render_rehearsal(live[family], text) for family, text in restores.items()}
    scratch = scratch_namespace()
    with scratch_folder() as directory:
        # A lock of its own: the rehearsal touches nothing that the machine's lock guards.
        environment = {"XTABLES_LOCKFILE": str(directory / LOCK_FILE)}
        commands = [
            Command((*scratch, *restore_words(backend, family)), _bytes(text), RESTORE_SECONDS, environment)
            for family, text in texts.items()
        ]
        results = run_all(commands)
    for (family, text), result in zip(texts.items(), results, strict=True):
        if isinstance(result, CommandFailed):
            raise RestoreFailed(family, result, text)


def load(backend: Backend, family: Family, text: str, *, seconds: float | None = None) -> None:
    """Load one family's text into the kernel; all of it or nothing. Raises RestoreFailed."""
    try:
        run(Command(restore_words(backend, family), _bytes(text), seconds or RESTORE_SECONDS))
    except CommandFailed as failure:
        raise RestoreFailed(family, failure, text) from None


def put_back(backend: Backend, before: Mapping[Family, Ruleset], restores: Mapping[Family, str]) -> None:
    """Lead each family back to what it held before its text was loaded, and see that it does.

    Looks at the kernel first, so it is right whether a text was loaded, was not, or nobody knows; tries again
    when that fails, since others may change the rules meanwhile. Raises RestoreFailed, CommandFailed, and
    NotPutBack when the kernel still differs.
    """
    for seconds in WAY_BACK_SECONDS[:-1]:
        with contextlib.suppress(RestoreFailed, CommandFailed, NotPutBack):
            return _put_back_once(backend, before, restores, min(seconds, RESTORE_SECONDS))
    return _put_back_once(backend, before, restores, RESTORE_SECONDS)


def _put_back_once(
    backend: Backend, before: Mapping[Family, Ruleset], restores: Mapping[Family, str], seconds: float
) -> None:
    now, _ = read_rulesets(backend, seconds=seconds)
    for family, text in restores.items():
        undo = render_undo(before[family], now[family], text)
        if undo:
            load(backend, family, undo, seconds=seconds)
            reached(f"rollback-ipv{family}")
    after, _ = read_rulesets(backend)
    different = [
        family for family, text in restores.items() if not is_undone(before[family], after[family], text)
    ]
    if different:
        names = " and ".join(f"IPv{family}" for family in different)
        raise NotPutBack(f"{names} still differ from what the kernel held before")


class NotPutBack(Exception):  # noqa: N818 - it states a fact
    """The kernel could not be led back to what it held before an apply."""


def read_rulesets(
    backend: Backend, *, seconds: float = SAVE_SECONDS
) -> tuple[dict[Family, Ruleset], dict[Family, bytes]]:
    """Return both families' tables, parsed and as printed. Raises CommandFailed and ParseError."""
    saves = saves_or_fail(read_saves(backend, seconds=seconds))
    return {family: parse_save(save) for family, save in saves.items()}, saves


def saves_or_fail(results: Mapping[Family, bytes | CommandFailed]) -> dict[Family, bytes]:
    """Return the saves when both could be read. Raises CommandFailed."""
    saves: dict[Family, bytes] = {}
    for family, result in results.items():
        if isinstance(result, CommandFailed):
            raise result
        saves[family] = result
    return saves


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
