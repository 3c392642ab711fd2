"""Rules that stop connection tracking are warned about before a load."""

from __future__ import annotations

import pytest

from dockerfw.chains.plan import plan_changes
from dockerfw.iptables.replay import parse_restore
from tests.rig.documents import document


@pytest.mark.parametrize(
    ("lines", "warned"),
    [
        (("-A PREROUTING -p udp --sport 53 -j NOTRACK",), 1),
        (("-A OUTPUT -p udp --dport 53 -j CT --notrack",), 1),
        (("-A PREROUTING -p udp -j MORE", "-A OUTPUT -p udp -j MORE", "-A MORE -j NOTRACK"), 2),
        (("-A MORE -j NOTRACK",), 0),
        (("-A PREROUTING -i lo -j NOTRACK", "-A OUTPUT -o lo -j NOTRACK"), 0),
        (("-A PREROUTING ! -i lo -j NOTRACK",), 1),
        (("-A PREROUTING -p tcp -j CT --helper ftp",), 0),
        (("-A PREROUTING -p tcp -j DROP",), 0),
    ],
)
def test_rules_that_stop_tracking(lines: tuple[str, ...], warned: int) -> None:
    live = parse_restore("\n".join(["*raw", ":MORE - [0:0]", *lines, "COMMIT", ""]))
    found = [each for each in plan_changes(document(), {4: live}).warnings if each.code == "untracked"]
    assert len(found) == warned
    assert all(each.message.startswith("IPv4: another rule stops connection tracking (-A ") for each in found)
