"""The ports that lines in their usual form name, read without splitting the lines into words.

Nearly all lines of dockerfw have this form. Other lines are read option by option.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dockerfw.iptables.protocols import protocol_number
from dockerfw.simulation.ports import Range, read_ranges

_WORD: Final = r"[^\s-]\S*"
_LINE: Final = re.compile(
    rf"-A \S+ (?:-[sd] {_WORD} )*(?:-i ({_WORD}) )?-p ({_WORD}) -m "
    rf"(?:conntrack (?:--ctorigdst {_WORD} )?--ctorigdstport (\S+)|\w+ --dports? (\S+))(.*)",
    re.ASCII | re.DOTALL,
)
# Whatever may say more about the ports, the protocol, the interface or where the packet goes.
_MORE: Final = re.compile(r"port|\s-[pig]|\s--(?:proto|in-|goto)")


class PortLine(NamedTuple):
    """The interface of a line, empty for any, the number of its protocol and its ranges of ports."""

    interface: str
    protocol: int
    ports: tuple[Range, ...]


def read_port_line(text: str) -> PortLine | None:
    """Return what a rule in the usual form names, and None for any other; it does not lead by `-g`."""
    found = _LINE.match(text)
    if found is None or _MORE.search(found[5]) is not None:
        return None
    protocol, ports = protocol_number(found[2]), read_ranges(found[3] or found[4])
    if protocol is None or not ports or found[1] == "+":
        return None
    return PortLine(found[1] or "", protocol, tuple(ports))
