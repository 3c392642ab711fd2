"""The rules that the kernel holds now: both families' saves, read and parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.host.backend import SAVE_SECONDS, find_backend, read_saves
from dockerfw.host.runner import CommandFailed
from dockerfw.iptables.model import Backend, Family, Ruleset
from dockerfw.iptables.parse import parse_save


@dataclass(frozen=True, slots=True)
class Seen:
    """What one backend held at one moment: each family's save and the ruleset parsed from it."""

    backend: Backend
    rulesets: Mapping[Family, Ruleset]
    saves: Mapping[Family, bytes]


def look(backend: Backend | None = None, *, seconds: float = SAVE_SECONDS) -> Seen:
    """Read and parse the tables of a backend, or of the one in use where none is named.

    `seconds` limits the reading of a named backend. Raises CommandFailed and ParseError.
    """
    if backend is None:
        backend, results = find_backend()
    else:
        results = read_saves(backend, seconds=seconds)
    saves: dict[Family, bytes] = {}
    for family, result in results.items():
        if isinstance(result, CommandFailed):
            raise result
        saves[family] = result
    return Seen(backend, {family: parse_save(save) for family, save in saves.items()}, saves)
