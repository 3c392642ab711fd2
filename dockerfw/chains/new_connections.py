"""The matches that end an allowance: by the time, and by the number of new connections of a source.

Both are written exactly as iptables-save prints them, by iptables 1.8.7 to 1.8.13 and both backends, whatever
the time zone: `libxt_time` and `libxt_hashlimit` of iptables.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from dockerfw.chains.names import own_chains, own_rules
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.model import Family, Ruleset

LAST_TIME: Final = "2038-01-19T03:14:07"
"""The last time that the kernel's match knows, which iptables-save prints where none was given."""

MOST_SOURCES: Final = 65536
"""Sources that one limit remembers. With a full table the kernel drops packets of further ones."""

# The units of libxt_hashlimit, with their milliseconds and their names in a save, largest first.
_UNITS: Final[tuple[tuple[str, str, int], ...]] = (
    ("day", "day", 86_400_000),
    ("hour", "hour", 3_600_000),
    ("minute", "min", 60_000),
    ("second", "sec", 1_000),
)
_MICROSECONDS: Final = 1_000
_DATESTART = re.compile(r" --datestart (\S+)")


def time_match(starts: str, expires: str) -> str:
    """Return the match on the time, for UTC times such as `2027-01-31T18:00:00Z`; empty without any."""
    if not (starts or expires):
        return ""
    start = f" --datestart {_plain(starts)}" if starts else ""
    return f"-m time{start} --datestop {_plain(expires) or LAST_TIME}"


def stamp_times(
    chains: Mapping[str, tuple[str, ...]], family: Family, live: Ruleset | None, moment: str = ""
) -> Mapping[str, tuple[str, ...]]:
    """Return chains in which each line that ends also starts: at the time of the apply that first loaded it.

    A machine without a clock boots in the past, and must not allow again what ended. `moment` is the time of
    this apply in UTC, empty if there is none. A line that the kernel holds already keeps its start.
    """
    ends = {name for name, lines in chains.items() if any(" --datestop " in line for line in lines)}
    if not ends:
        return chains
    held = _Starts(live, family)
    return {
        name: tuple(_stamped(name, line, held, _plain(moment)) for line in lines) if name in ends else lines
        for name, lines in chains.items()
    }


class _Starts:
    """When the lines that the kernel holds start, by the line without that."""

    def __init__(self, live: Ruleset | None, family: Family) -> None:
        self._family = family
        self._by_text = {
            without_start(rule.text): _start(rule.text)
            for chain in own_chains(live)
            for rule in own_rules(live, chain)
            if " --datestart " in rule.text
        }

    def find(self, text: str) -> str:
        """Return the start of the line that is the same but for its start; empty without one."""
        if not self._by_text or text in self._by_text:
            return self._by_text.get(text, "")
        return self._by_form.get(canonical_text(text, self._family), "")

    @cached_property
    def _by_form(self) -> dict[str, str]:
        return {canonical_text(text, self._family): start for text, start in self._by_text.items()}


def _stamped(chain: str, line: str, held: _Starts, moment: str) -> str:
    if " --datestop " not in line or f"--datestop {LAST_TIME}" in line:
        return line
    earliest, bare = _start(line), without_start(line)
    found = held.find(f"-A {chain} {bare}")
    start = found if found and found >= earliest else max(earliest, moment)
    return bare.replace(" --datestop ", f" --datestart {start} --datestop ", 1) if start else line


def _start(text: str) -> str:
    found = _DATESTART.search(text)
    return found[1] if found else ""


def without_start(text: str) -> str:
    """Return a line without the time at which it starts, which may be that of an apply."""
    return _DATESTART.sub("", text, count=1)


def _plain(time: str) -> str:
    return time[: len(LAST_TIME)]


def limit_match(rule_id: str, limit: str, family: Family) -> str:
    """Return the match on the first N new connections a unit of each source, for a limit such as `6/minute`.

    A table in the kernel keeps its first parameters as long as a rule has its name, so that the name carries
    a digest of the parameters.
    """
    count, unit = limit.split("/")
    length = next(milliseconds for name, _, milliseconds in _UNITS if name == unit)
    rate, printed = _rate(int(count), length)
    # The kernel forgets a source after the length of the unit that is printed, unless it is told.
    expire = f" --hashlimit-htable-expire {length}" if printed != length else ""
    mask = " --hashlimit-srcmask 64" if family == 6 else ""
    before = f"--hashlimit-upto {rate} --hashlimit-burst {count} --hashlimit-mode srcip"
    after = f"--hashlimit-htable-max {MOST_SOURCES}{expire}{mask}"
    mark = hashlib.sha256(f"{before} {after}".encode("ascii")).hexdigest()[:8]
    return f"-m hashlimit {before} --hashlimit-name dockerfw-{rule_id}-{mark} {after}"


def _rate(count: int, length: int) -> tuple[str, int]:
    """Return a rate as iptables-save prints it, and the milliseconds of its unit (print_rate)."""
    period = max(1, length * _MICROSECONDS // count)
    chosen = 0
    for index in range(1, len(_UNITS)):
        unit = _UNITS[index][2] * _MICROSECONDS
        if period > unit or unit // period < unit % period:
            break
        chosen = index
    name, milliseconds = _UNITS[chosen][1:]
    return f"{milliseconds * _MICROSECONDS // period}/{name}", milliseconds
