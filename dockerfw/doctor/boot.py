"""Check what a boot will load: the unit, the boot files, and whether iptables accepts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import NOT_ROOT, Finding, note, ok, problem, unknown

UNIT: Final = "dockerfw-boot.service"
INSTALL: Final = f"cp /opt/dockerfw/deploy/{UNIT} /etc/systemd/system/ && systemctl daemon-reload"
ENABLE: Final = "systemctl enable dockerfw-boot"
REWRITE: Final = "{command} rollback {number} -m 'write the boot files again'"


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """The boot unit: installed (`there`), the same as this release's, enabled, masked."""

    there: bool
    same: bool
    enabled: bool
    masked: bool


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What the state directory holds; `readable` is false when this process may not read it.

    `unit` is None where the host's systemd cannot be seen, and in a sandbox. `revision` is 0 when none is
    confirmed, `problem` says why its record cannot be read. `missing` and `different` are names of boot
    files. `refused` holds iptables' errors by file, None when loading was not tried. `database` is the
    confirmed revision in the database, None when unknown. `command` is the name of the command line here.
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
        yield problem(checks[0], f"The boot files cannot be read: {facts.problem}", todo)
        yield from (unknown(check, "the boot files cannot be read") for check in checks[1:])
    elif not facts.revision:
        yield from (
            ok(check, "No revision is confirmed yet: a boot has nothing to load.") for check in checks
        )
    else:
        yield _files(facts)
        yield _loads(facts)
        yield _revision(facts)


def _unit(unit: UnitFacts | None) -> Finding:
    check = "boot.unit"
    if unit is None:
        return unknown(check, "the host's systemd cannot be seen from here")
    if unit.masked:
        text = f"{UNIT} is masked: a reboot loads no rules."
        return problem(check, text, f"systemctl unmask dockerfw-boot && {ENABLE}")
    if not unit.there:
        text = f"{UNIT} is not installed: a reboot loads no rules until the next apply."
        return problem(check, text, f"{INSTALL} && {ENABLE}")
    if not unit.enabled:
        return problem(check, f"{UNIT} is not enabled: a reboot loads no rules.", ENABLE)
    if not unit.same:
        return note(check, f"{UNIT} differs from this release's.", f"{INSTALL}, unless you changed it")
    return ok(check, f"{UNIT} is installed and enabled.")


def _files(facts: BootFacts) -> Finding:
    check, todo = "boot.files", REWRITE.format(command=facts.command, number=facts.revision)
    if facts.missing:
        return problem(check, f"Boot files are missing: {', '.join(facts.missing)}.", todo)
    if facts.different:
        names = ", ".join(facts.different)
        text = (
            f"{names}: not what this release writes for revision {facts.revision}. An earlier release wrote"
            " them, or they were changed."
        )
        return note(check, text, todo)
    return ok(check, f"The boot files of revision {facts.revision} are complete.")


def _loads(facts: BootFacts) -> Finding:
    check = "boot.loads"
    if facts.refused is None:
        return unknown(check, "no network namespace could be made to test it in")
    if facts.refused:
        name, words = next(iter(facts.refused.items()))
        text = f"A boot cannot load {name}: {words}"
        return problem(check, text, REWRITE.format(command=facts.command, number=facts.revision))
    return ok(check, "The boot files load (tested in an empty network namespace).")


def _revision(facts: BootFacts) -> Finding:
    check = "boot.revision"
    if facts.database is None:
        return unknown(check, "the database's confirmed revision is not known")
    if facts.database != facts.revision:
        confirmed = f"revision {facts.database}" if facts.database else "no revision"
        text = f"A boot loads revision {facts.revision}, but the database says that {confirmed} is confirmed."
        todo = f"wait until the clerk has caught up, else: {facts.command} apply -m 'the same on both sides'"
        return problem(check, text, todo)
    return ok(check, f"A boot loads revision {facts.revision}, the confirmed one in the database.")
