"""Judge what a boot will do: is the unit enabled, are its files complete and right, and would they load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import NOT_ROOT, Finding, note, ok, problem, unknown

UNIT: Final = "dockerfw-boot.service"
INSTALL: Final = f"cp /opt/dockerfw/deploy/{UNIT} /etc/systemd/system/ && systemctl daemon-reload"
ENABLE: Final = "systemctl enable dockerfw-boot"
AGAIN: Final = "{command} rollback {number} -m 'write the boot files again'"


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """The boot unit: is it there, the same as the one in the code, enabled, masked."""

    there: bool
    same: bool
    enabled: bool
    masked: bool


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What was found in the state directory; `readable` is false where that could not be looked into.

    `unit` is None where no systemd of this host can be seen, or this is a sandbox. `revision` is 0 when
    none was confirmed, `problem` why the record of it cannot be read. `missing` and `different` are names of
    boot files, `refused` what iptables said of those that it would not load, by file; None when that was not
    tried. `database` is the revision that the database calls confirmed, None when that is not known.
    `command` is how the command line is called here.
    """

    readable: bool
    unit: UnitFacts | None
    revision: int = 0
    problem: str = ""
    missing: Sequence[str] = ()
    different: Sequence[str] = ()
    refused: Mapping[str, str] | None = None
    database: int | None = None
    command: str = "dockerfw"


def judge_boot(facts: BootFacts) -> Iterator[Finding]:
    """Judge all of it."""
    yield _unit(facts.unit)
    checks = ("boot.files", "boot.loads", "boot.revision")
    if not facts.readable:
        yield from (unknown(check, NOT_ROOT) for check in checks)
    elif facts.problem:
        todo = f"{facts.command} apply -m 'write the boot files again'"
        yield problem(checks[0], f"The boot files make no sense: {facts.problem}", todo)
        yield from (unknown(check, "the boot files make no sense") for check in checks[1:])
    elif not facts.revision:
        yield from (ok(check, "No revision was confirmed yet: there is nothing to load.") for check in checks)
    else:
        yield _files(facts)
        yield _loads(facts)
        yield _revision(facts)


def _unit(unit: UnitFacts | None) -> Finding:
    check = "boot.unit"
    if unit is None:
        return unknown(check, "no systemd of the host is to be seen from here")
    if unit.masked:
        text = f"{UNIT} is masked: after a reboot nothing is loaded."
        return problem(check, text, f"systemctl unmask dockerfw-boot && {ENABLE}")
    if not unit.there:
        text = f"{UNIT} is not installed: after a reboot nothing is loaded until the root worker is asked to."
        return problem(check, text, f"{INSTALL} && {ENABLE}")
    if not unit.enabled:
        return problem(check, f"{UNIT} is not enabled: after a reboot nothing is loaded.", ENABLE)
    if not unit.same:
        return note(check, f"{UNIT} is not the one of this release.", f"{INSTALL}, unless you changed it")
    return ok(check, f"{UNIT} is installed and enabled.")


def _files(facts: BootFacts) -> Finding:
    check, todo = "boot.files", AGAIN.format(command=facts.command, number=facts.revision)
    if facts.missing:
        return problem(check, f"Boot files are missing: {', '.join(facts.missing)}.", todo)
    if facts.different:
        names = ", ".join(facts.different)
        text = f"{names} are not what revision {facts.revision} makes now: of an earlier release, or changed."
        return note(check, text, todo)
    return ok(check, f"The boot files are complete, and those of revision {facts.revision}.")


def _loads(facts: BootFacts) -> Finding:
    check = "boot.loads"
    if facts.refused is None:
        return unknown(check, "no network namespace could be made to try it in")
    if facts.refused:
        name, words = next(iter(facts.refused.items()))
        text = f"At boot {name} would not load: {words}"
        return problem(check, text, AGAIN.format(command=facts.command, number=facts.revision))
    return ok(check, "The boot files load, tried in a network namespace of their own.")


def _revision(facts: BootFacts) -> Finding:
    check = "boot.revision"
    if facts.database is None:
        return unknown(check, "the database does not tell which revision is confirmed")
    if facts.database != facts.revision:
        confirmed = facts.database or "none"
        text = f"A boot loads revision {facts.revision}; in the database {confirmed} is the confirmed one."
        todo = f"wait until the clerk has caught up, else: {facts.command} apply -m 'the same on both sides'"
        return problem(check, text, todo)
    return ok(check, f"A boot loads revision {facts.revision}, as the database says.")
