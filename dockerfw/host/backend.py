"""The two backends of iptables: the names of their programs, their saves, and which one this host uses.

A host uses the backend that contains dockerd's chains. This module changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dockerfw.host import sentences
from dockerfw.host.exact_rules import inexact_beside
from dockerfw.host.runner import Command, CommandFailed, run, run_all
from dockerfw.iptables.model import FAMILIES, Backend, Family
from dockerfw.iptables.unprinted import INEXACT_LINE, UNCHECKED_LINE

LOCK_WAIT_SECONDS = 10
SAVE_SECONDS = 15.0

_PROC_NET = Path("/proc/thread-self/net")
_TABLE_NAMES: dict[Family, str] = {4: "ip_tables_names", 6: "ip6_tables_names"}
_DOCKER_CHAIN = re.compile(rb"^:DOCKER(?:-USER|-FORWARD|-ISOLATION-STAGE-1)? ", re.MULTILINE)
_OWN_CHAIN = re.compile(rb"^:FILTERS(?:-HOST|-CONTAINERS)? ", re.MULTILINE)
_TABLE = re.compile(rb"^\*([a-z]{1,16})$", re.MULTILINE)
_LEGACY_WARNING = re.compile(rb"^# Warning: ip6?tables-legacy tables present.*\n", re.MULTILINE)
_DECIDES = re.compile(rb"^(?:\[\d+:\d+\] )?-A |^:\S+ DROP ", re.MULTILINE)
_ANY_RULE = re.compile(rb"^(?:\[\d+:\d+\] )?-A ", re.MULTILINE)

Saves = Mapping[Family, bytes] | Mapping[Family, bytes | CommandFailed]


def program(backend: Backend, family: Family, verb: str = "") -> str:
    """Return the name of a program, e.g. ("legacy", 6, "save") -> "ip6tables-legacy-save"."""
    stem = f"{'iptables' if family == 4 else 'ip6tables'}-{backend}"
    return f"{stem}-{verb}" if verb else stem


def restore_words(backend: Backend, family: Family) -> tuple[str, ...]:
    """Return the command that loads a restore text with counters and leaves chains that it does not name.

    The legacy backend gets `-w`: without it, it fails or hangs while another program holds the lock
    (iptables(8)).
    """
    wait = ("-w", str(LOCK_WAIT_SECONDS)) if backend == "legacy" else ()
    return (program(backend, family, "restore"), "-n", "-c", *wait)


def kernel_families() -> tuple[Family, ...]:
    """Return the families that the kernel supports: IPv4 only, if it was booted with ipv6.disable=1."""
    return FAMILIES if (_PROC_NET / "if_inet6").exists() else FAMILIES[:1]


def read_saves(backend: Backend, *, seconds: float = SAVE_SECONDS) -> dict[Family, bytes | CommandFailed]:
    """Return each family's save from one backend; a kernel without IPv6 has no save for IPv6."""
    families = kernel_families()
    if backend == "legacy" and not _table_names_readable():
        return {family: _save_by_table(family) for family in families}
    commands = [Command((program(backend, family, "save"), "-c"), seconds=seconds) for family in families]
    if backend == "legacy":
        saves = dict(zip(families, run_all(commands), strict=True))
        for family, command in zip(families, commands, strict=True):
            if saves[family] == b"" and _lists_tables(family):
                saves[family] = CommandFailed(command.words, sentences.EMPTY_SAVE, 0, "")
    else:
        with inexact_beside(families) as inexact:
            saves = dict(zip(families, run_all(commands), strict=True))
            found = inexact()
        saves = {family: _with_inexact(save, found[family]) for family, save in saves.items()}
        # In an ordinary user's namespace the list is not readable, and asking would create legacy tables.
        if _table_names_readable() and legacy_in_use():
            return _beside_legacy(saves, seconds)
    return saves


def _with_inexact(save: bytes | CommandFailed, tables: frozenset[str] | None) -> bytes | CommandFailed:
    """Return an nft save with a line for each table that iptables-save prints without some conditions.

    Where the kernel did not tell these tables (None) it may be each that the save shows.
    """
    if isinstance(save, CommandFailed):
        return save
    line, names = INEXACT_LINE, sorted(tables or ())
    if tables is None:
        line, names = UNCHECKED_LINE, [found[1].decode() for found in _TABLE.finditer(save)]
    return b"".join(line.format(table=name).encode() for name in names) + save


def _beside_legacy(
    saves: Mapping[Family, bytes | CommandFailed], seconds: float
) -> dict[Family, bytes | CommandFailed]:
    """Return the nft saves with iptables' warning exactly where legacy tables can decide about packets.

    iptables-nft-save also warns of legacy tables that are empty, and not in every release.
    """
    legacy = read_saves("legacy", seconds=seconds)
    found: dict[Family, bytes | CommandFailed] = {}
    for family, save in saves.items():
        if isinstance(save, bytes):
            save = _LEGACY_WARNING.sub(b"", save)
            other = legacy[family]
            if isinstance(other, CommandFailed) or _DECIDES.search(other):
                name = "ip" if family == 4 else "ip6"
                save = b"# Warning: %stables-legacy tables present\n" % name.encode() + save
        found[family] = save
    return found


def find_backend() -> tuple[Backend, dict[Family, bytes | CommandFailed]]:
    """Return the backend that contains dockerd's chains, and its saves.

    Without dockerd's chains it is the one with our chains, else the one with any rule, else nft. Legacy
    tables that cannot be read may contain any of these: then it is legacy, with the failures in place of the
    saves.
    """
    nft = read_saves("nft")
    if not legacy_in_use() or _holds(nft, _DOCKER_CHAIN):
        return "nft", nft
    legacy = read_saves("legacy")
    if any(isinstance(save, CommandFailed) and _lists_tables(family) for family, save in legacy.items()):
        return "legacy", legacy
    for pattern in (_DOCKER_CHAIN, _OWN_CHAIN, _ANY_RULE):
        if _holds(nft, pattern):
            return "nft", nft
        if _holds(legacy, pattern):
            return "legacy", legacy
    return "nft", nft


def docker_backends(backend: Backend, saves: Saves) -> tuple[Backend, ...]:
    """Return the backends that contain Docker's chains; `saves` were just read from `backend`."""
    found: tuple[Backend, ...] = (backend,) if _holds(saves, _DOCKER_CHAIN) else ()
    # The legacy backend is only chosen when nft has no chains of Docker.
    if backend == "nft" and legacy_in_use() and _holds(read_saves("legacy"), _DOCKER_CHAIN):
        return (*found, "legacy")
    return found


def legacy_in_use() -> bool:
    """Return True if the legacy backend has any table. Its own programs would create them when asked."""
    return any(_lists_tables(family) for family in FAMILIES)


def _lists_tables(family: Family) -> bool:
    """Return True if the kernel has legacy tables of a family, or if the list of them cannot be read."""
    try:
        return (_PROC_NET / _TABLE_NAMES[family]).read_bytes() != b""
    except PermissionError:
        return True
    except OSError:
        return False


def _holds(saves: Saves, pattern: re.Pattern[bytes]) -> bool:
    return any(isinstance(save, bytes) and pattern.search(save) for save in saves.values())


def _table_names_readable() -> bool:
    try:
        (_PROC_NET / _TABLE_NAMES[4]).read_bytes()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _save_by_table(family: Family) -> bytes | CommandFailed:
    # In an ordinary user's namespace the list of tables cannot be read: name them.
    parts = []
    for table in ("mangle", "nat", "filter"):
        try:
            parts.append(run(Command((program("legacy", family, "save"), "-c", "-t", table))))
        except CommandFailed as failure:
            return failure
    return b"".join(parts)
