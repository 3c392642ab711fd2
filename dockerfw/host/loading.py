"""Loads restore texts: in a rehearsal that can break nothing, into the kernel, and to roll back.

It runs the restore programs and finds the line that they refused. The texts come from `dockerfw.chains`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.chains.rehearsal import render_rehearsal
from dockerfw.chains.undo import is_undone, render_undo
from dockerfw.host import sentences
from dockerfw.host.backend import restore_words
from dockerfw.host.errors import HostError
from dockerfw.host.hooks import checkpoint
from dockerfw.host.privileges import scratch_namespace
from dockerfw.host.reading import look
from dockerfw.host.runner import Command, CommandFailed, run, run_all
from dockerfw.host.scratch import LOCK_FILE, scratch_folder
from dockerfw.iptables.model import Backend, Family, Ruleset

RESTORE_SECONDS = 20.0
# The limits of each try to roll back. The first is short, because a deadline waits for it.
ROLL_BACK_SECONDS = (3.0, 10.0, RESTORE_SECONDS)
_LINE_NUMBER = re.compile(r"\bline:? (\d+)")


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """The line of a restore text that iptables refused; its number counts from 1."""

    number: int
    text: str


class RestoreFailed(HostError):  # noqa: N818 - it states a fact
    """iptables refused a restore text: the failed command, and the line if iptables named one."""

    def __init__(self, family: Family, failure: CommandFailed, text: str) -> None:
        self.family = family
        self.failure = failure
        self.line = _find_refused_line(failure.stderr, text)
        where = f" at line {self.line.number}: {self.line.text}" if self.line else ""
        super().__init__(f"IPv{family}: {failure}{where}")


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

    `--test` is not enough: it accepts jumps to chains that do not exist.
    """
    texts = {family: render_rehearsal(live[family], text) for family, text in restores.items()}
    scratch = scratch_namespace()
    with scratch_folder() as directory:
        # The rehearsal has a lock of its own, because it changes nothing that the machine's lock protects.
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
    """Load one family's text into the kernel, all of it or nothing. Raises RestoreFailed."""
    try:
        run(Command(restore_words(backend, family), _bytes(text), seconds or RESTORE_SECONDS))
    except CommandFailed as failure:
        raise RestoreFailed(family, failure, text) from None


def restore_previous(
    backend: Backend, before: Mapping[Family, Ruleset], restores: Mapping[Family, str]
) -> None:
    """Restore the rules that each family had before its text was loaded, and check that they are there.

    It reads the kernel first, so it is right whether or not a text was loaded. It tries again when it fails,
    because other programs may change rules at the same time. Raises RestoreFailed, CommandFailed, and
    RollBackFailed if the kernel still differs.
    """
    for seconds in ROLL_BACK_SECONDS[:-1]:
        with contextlib.suppress(RestoreFailed, CommandFailed, RollBackFailed):
            return _restore_once(backend, before, restores, min(seconds, RESTORE_SECONDS))
    return _restore_once(backend, before, restores, RESTORE_SECONDS)


def _restore_once(
    backend: Backend, before: Mapping[Family, Ruleset], restores: Mapping[Family, str], seconds: float
) -> None:
    now = look(backend, seconds=seconds).rulesets
    for family, text in restores.items():
        undo = render_undo(before[family], now[family], text)
        if undo:
            load(backend, family, undo, seconds=seconds)
            checkpoint(f"rollback-ipv{family}")
    after = look(backend).rulesets
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
