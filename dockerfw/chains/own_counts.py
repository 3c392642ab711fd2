"""What dockerfw's chains have counted, read from the saves of both families without parsing them.

To count on from one save to the next, both must be of the same lines: other lines have other counters.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.kernel_state import count_refused
from dockerfw.chains.names import is_own_chain, rule_id_of
from dockerfw.chains.set_matches import static_set_of
from dockerfw.iptables.model import Family

_LINE: Final = re.compile(r"^\[(\d{1,20}):\d+\] (-A (\S+) .*)$", re.ASCII | re.MULTILINE)
_RETURNS: Final = re.compile(r" -j RETURN$", re.ASCII)


@dataclass(frozen=True, slots=True)
class OwnCounts:
    """The packets that dockerfw's rules refused and accepted so far; only new connections are counted.

    `mark` names the lines that counted them.
    """

    mark: str
    refused: int
    accepted: int


def count_own(saves: Mapping[Family, str]) -> OwnCounts:
    """Return what the chains in the saves counted.

    Accepted are the packets that a rule of the document let through. Those of open connections, of trusted
    interfaces and of ICMP as a whole are let through before.
    """
    lines, accepted = hashlib.sha256(), 0
    for family, save in sorted(saves.items()):
        for packets, text, chain in _LINE.findall(save):
            if not is_own_chain(chain):
                continue
            lines.update(f"{family} {text}\n".encode("utf-8", "surrogatepass"))
            if _RETURNS.search(text) and (rule_id_of(text) or static_set_of(text)):
                accepted += int(packets)
    return OwnCounts(lines.hexdigest(), sum(map(count_refused, saves.values())), accepted)
