"""Rolling back, as text: exactly what a restore text added is removed, and what it removed is restored."""

from __future__ import annotations

import pytest

from dockerfw.chains.undo import is_undone, render_undo
from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import parse_save


def table(*lines: str, chains: tuple[str, ...] = ()) -> Ruleset:
    """Return a filter table with these rules."""
    declared = [":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", *(f":{name} - [0:0]" for name in chains)]
    return parse_save("\n".join(["*filter", *declared, *lines, "COMMIT", ""]))


RESTORE = """*filter
:FILTERS - [0:0]
:FILTERS-CONTAINERS - [0:0]
:FILTERS-HOST - [0:0]
-N DOCKER-USER
-D INPUT -i lo -j ACCEPT
-D INPUT -j FILTERS-HOST
[0:0] -A FILTERS -j DROP
[0:0] -I INPUT 1 -j FILTERS-HOST
[0:0] -I DOCKER-USER 1 -i ens33 -j FILTERS-CONTAINERS
COMMIT
"""
BEFORE = table(
    "[1:2] -A INPUT -s 10.0.0.1/32 -j DROP",
    "[3:4] -A INPUT -i lo -j ACCEPT",
    "-A INPUT -p udp -j ACCEPT",
    "[5:6] -A INPUT -j FILTERS-HOST",
    "-A INPUT -p tcp -j ACCEPT",
    "[7:8] -A FILTERS-HOST -j RETURN",
    chains=("FILTERS-HOST",),
)
OWN = ("FILTERS", "FILTERS-CONTAINERS", "FILTERS-HOST", "DOCKER-USER")
AFTER = (
    "-A INPUT -j FILTERS-HOST",
    "-A INPUT -s 10.0.0.1/32 -j DROP",
    "-A INPUT -p udp -j ACCEPT",
    "-A INPUT -p tcp -j ACCEPT",
    "-A DOCKER-USER -i ens33 -j FILTERS-CONTAINERS",
    "-A FILTERS -j DROP",
)


def test_nothing_to_undo_when_nothing_was_loaded() -> None:
    assert render_undo(BEFORE, BEFORE, RESTORE) == ""
    assert is_undone(BEFORE, BEFORE, RESTORE)


def test_a_load_is_undone() -> None:
    now = table(*AFTER, chains=OWN)
    assert not is_undone(BEFORE, now, RESTORE)
    assert render_undo(BEFORE, now, RESTORE).split("\n") == [
        "*filter",
        ":FILTERS - [0:0]",
        ":FILTERS-CONTAINERS - [0:0]",
        ":FILTERS-HOST - [0:0]",
        "-D INPUT -j FILTERS-HOST",
        "-D DOCKER-USER -i ens33 -j FILTERS-CONTAINERS",
        "[7:8] -A FILTERS-HOST -j RETURN",
        "[3:4] -I INPUT 2 -i lo -j ACCEPT",
        "[5:6] -I INPUT 4 -j FILTERS-HOST",
        "-X FILTERS",
        "-X FILTERS-CONTAINERS",
        "-X DOCKER-USER",
        "COMMIT",
        "",
    ]


@pytest.mark.parametrize(
    ("theirs", "kept"),
    [
        ("-A DOCKER-USER -s 10.9.9.9/32 -j DROP", "another rule in the chain"),
        ("-A FORWARD -j DOCKER-USER", "Docker has come and calls the chain"),
    ],
)
def test_chain_that_others_use_meanwhile_stays(theirs: str, kept: str) -> None:
    now = table(*AFTER, theirs, chains=OWN)
    assert "-X DOCKER-USER" not in render_undo(BEFORE, now, RESTORE), kept


def test_a_moved_jump_alone_is_noticed() -> None:
    before = table("-A INPUT -p udp -j ACCEPT", "-A INPUT -j FILTERS-HOST", chains=OWN)
    now = table("-A INPUT -j FILTERS-HOST", "-A INPUT -p udp -j ACCEPT", chains=OWN)
    assert not is_undone(before, now, RESTORE)
    undo = render_undo(before, now, RESTORE)
    assert "-D INPUT -j FILTERS-HOST" in undo
    assert "-I INPUT 2 -j FILTERS-HOST" in undo


def test_equal_rules_are_restored_to_their_place() -> None:
    before = table("-A INPUT -i lo -j ACCEPT", "-A INPUT -p udp -j DROP", "-A INPUT -i lo -j ACCEPT")
    now = table("-A INPUT -p udp -j DROP", "-A INPUT -i lo -j ACCEPT")
    text = "*filter\n-D INPUT -i lo -j ACCEPT\nCOMMIT\n"
    assert "-I INPUT 1 -i lo -j ACCEPT" in render_undo(before, now, text)


def test_a_reordering_by_another_program_is_not_undone() -> None:
    before = table("-A INPUT -p udp -j DROP", "-A INPUT -p tcp -j DROP", chains=OWN)
    now = table("-A INPUT -p tcp -j DROP", "-A INPUT -p udp -j DROP", chains=OWN)
    assert is_undone(before, now, RESTORE)
