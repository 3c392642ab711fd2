"""Read the installed boot unit and the boot files, and test whether the files load."""

from __future__ import annotations

import os
from pathlib import Path

from dockerfw.chains.boot import STATIC_SETS
from dockerfw.chains.bound_sets import UnknownSet
from dockerfw.chains.log_lines import without_log_lines
from dockerfw.doctor.boot import UNIT, BootFacts, UnitFacts
from dockerfw.doctor.shipped import shipped_file
from dockerfw.host.backend import kernel_families, program
from dockerfw.host.loading import making_sets
from dockerfw.host.privileges import scratch_namespace
from dockerfw.host.runner import Command, CommandFailed, run
from dockerfw.host.scratch import LOCK_FILE, SETS_FILES, scratch_folder
from dockerfw.iptables.model import Family
from dockerfw.store.bootfiles import MODES, boot_texts
from dockerfw.store.confirmed import CONFIRMED, ConfirmedRecord, read_confirmed
from dockerfw.store.records import StateError
from dockerfw.store.state import StateDirectory

# The state directory that the unit names. A boot loads no other.
BOOTED_STATE = Path("/var/lib/dockerfw")
_UNIT_FOLDERS = (
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
_LOAD_SECONDS = 30.0


def boot_facts(state: StateDirectory, *, unit: UnitFacts | None) -> BootFacts:
    """Read the boot files and test them. Never raises."""
    if not _open(state.path):
        return BootFacts(readable=False, unit=unit)
    try:
        confirmed = read_confirmed(state.boot)
    except (StateError, OSError) as error:
        return BootFacts(readable=True, unit=unit, problem=str(error))
    if confirmed is None:
        dangling = state.boot.is_symlink()
        words = f"{state.boot} leads to no revision" if dangling else ""
        return BootFacts(readable=True, unit=unit, problem=words)
    needed = [*MODES, *([STATIC_SETS] if confirmed.sets else [])]
    missing = [name for name in needed if not (state.boot / name).is_file()]
    return BootFacts(
        readable=True,
        unit=unit,
        revision=confirmed.revision,
        missing=missing,
        different=[name for name in _different(confirmed, state.boot) if name not in missing],
        refused=_refused(confirmed, state.boot),
    )


def unit_facts(*, root: Path = Path("/")) -> UnitFacts | None:
    """Read the boot unit below `root`, None where systemd does not run."""
    if not (root / "run/systemd/system").is_dir():
        return None
    etc = root / "etc/systemd/system"
    masked = (etc / UNIT).is_symlink() and os.readlink(etc / UNIT) == os.devnull
    files = [root / folder / UNIT for folder in _UNIT_FOLDERS]
    found = next((path for path in files if path.is_file()), None)
    return UnitFacts(
        there=found is not None,
        same=found is not None and _words(found) == _words(shipped_file(UNIT)),
        enabled=any((folder / UNIT).is_symlink() for folder in etc.glob("*.wants")),
        masked=masked,
    )


def _open(path: Path) -> bool:
    """Return True if this process may read a folder, or if the folder does not exist."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return os.access(path, os.R_OK | os.X_OK)


def _words(unit: Path) -> list[str]:
    try:
        lines = unit.read_text().splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _different(confirmed: ConfirmedRecord, boot: Path) -> list[str]:
    records = (confirmed, confirmed.as_earlier_loaded())
    # A record of very many rules keeps no copy of them, and so no log lines. They decide nothing.
    texts = [boot_texts(each, boot=boot, logs=logs) for each in records for logs in (False, True)]
    return [
        name
        for name in texts[0]
        if name != CONFIRMED
        and without_log_lines(_text(boot / name))
        not in {without_log_lines(each[name]) for each in texts if name in each}
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _refused(confirmed: ConfirmedRecord, boot: Path) -> dict[str, str] | None:
    """Load the files in an empty network namespace; return iptables' errors by file, None when not tried."""
    scratch = scratch_namespace()
    try:
        run(Command((*scratch, "true")))
        with scratch_folder() as folder:
            return _load(confirmed, boot, scratch, folder)
    except (CommandFailed, OSError):
        return None


def _load(confirmed: ConfirmedRecord, boot: Path, scratch: tuple[str, ...], folder: Path) -> dict[str, str]:
    refused = {}
    environment = {"XTABLES_LOCKFILE": str(folder / LOCK_FILE)}
    if (boot / STATIC_SETS).is_file():
        try:
            text = (boot / STATIC_SETS).read_bytes()
            run(Command((*scratch, "ipset", "-exist", "restore"), text, _LOAD_SECONDS))
        except CommandFailed as failure:
            refused[STATIC_SETS] = f"ipset {failure.reason}: {failure.stderr.strip()}"
    names: dict[Family, str] = {4: "rules.v4", 6: "rules.v6"}
    for family in kernel_families():
        words = (program(confirmed.backend, family, "restore"), "-w", "10", "-n")
        try:
            text = (boot / names[family]).read_bytes()
            making = making_sets(text.decode("utf-8", "replace"), folder / SETS_FILES[family])
            run(Command((*scratch, *making, *words), text, _LOAD_SECONDS, environment))
        except FileNotFoundError:
            refused[names[family]] = "it is missing."
        except UnknownSet as unknown:
            refused[names[family]] = f"{unknown}."
        except CommandFailed as failure:
            refused[names[family]] = f"{failure.command[-4]} {failure.reason}: {failure.stderr.strip()}"
    return refused
