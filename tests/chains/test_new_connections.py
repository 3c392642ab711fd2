"""Lines that end: each starts at the apply that first loaded it."""

from __future__ import annotations

import pytest

from dockerfw.chains.new_connections import stamp_times
from dockerfw.iptables.parse import parse_save

LINE = "-p tcp -m tcp --dport 22 -m time{start} --datestop 2037-01-31T18:00:00 -j RETURN"
FIRST, NOW, LATER = "2026-01-31T18:00:00", "2026-02-01T00:00:00", "2030-01-31T18:00:00"


def start(time: str) -> str:
    return f" --datestart {time}" if time else ""


@pytest.mark.parametrize(
    ("starts", "held", "moment", "stamped"),
    [
        ("", "", NOW, NOW),
        ("", FIRST, NOW, FIRST),
        ("", FIRST, "", FIRST),
        ("", "", "", ""),
        (LATER, "", NOW, LATER),
        (FIRST, "", NOW, NOW),
        (LATER, FIRST, NOW, LATER),
    ],
)
def test_a_line_that_ends_starts_when_it_was_first_loaded(
    starts: str, held: str, moment: str, stamped: str
) -> None:
    lines = f"-A FILTERS {LINE.format(start=start(held))}\n" if held else ""
    live = parse_save(f"*filter\n:FILTERS - [0:0]\n{lines}COMMIT\n")
    wanted = {"FILTERS": (LINE.format(start=start(starts)), "-j DROP")}
    time = f"{moment}Z" if moment else ""
    assert stamp_times(wanted, 4, live, time)["FILTERS"] == (LINE.format(start=start(stamped)), "-j DROP")
