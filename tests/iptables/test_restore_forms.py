"""Restore files with many rules of one form, of which one is read word by word."""

from __future__ import annotations

import re

import pytest

from dockerfw.iptables import replay
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.parse import parse_restore
from dockerfw.iptables.tokens import locate_restore_tokens

RULES = [
    f"[{n}:9] -A FILTERS -s 10.0.{n}.0/24 -p tcp -m tcp --dport {n + 1}:{n + 9} -m set --match-set x dst,dst "
    f'-m comment --comment "dockerfw:r{n:04d}" -j RETURN'
    for n in range(100)
]
NEVER = re.compile("(?!)")


def text(*more: str) -> str:
    """Return a restore file with the rules, and more lines in the middle of them."""
    return "\n".join(["*filter", ":FILTERS - [0:0]", *RULES[:50], *more, *RULES[50:], "COMMIT", ""])


def test_rules_of_one_form_are_split_once(monkeypatch: pytest.MonkeyPatch) -> None:
    split: list[str] = []

    def count(line: str, start: int = 0) -> list[tuple[int, str]]:
        split.append(line)
        return locate_restore_tokens(line, start)

    monkeypatch.setattr(replay, "locate_restore_tokens", count)
    found = parse_restore(text())
    assert split == RULES[:1]
    monkeypatch.setattr(replay, "_PLAIN", NEVER)
    assert parse_restore(text()) == found
    assert len(split) == 101


@pytest.mark.parametrize(
    "line",
    [
        "-A FILTERS -s 10.0.0.1,10.0.0.2 -p tcp -m tcp --dport 22 -j RETURN",
        "-A FILTERS -s 10.0.0.1 ! -p tcp -j RETURN -j DROP",
        "-A FILTERS 10.0.0.1 -p tcp -j RETURN",
        "-A FILTERS -s 10.0.0.1 -p tcp -j",
        "-A NOWHERE -s 10.0.0.1 -j RETURN",
        "-A FILTERS  -s  10.0.0.1 -j RETURN",
        '-A FILTERS -s 10.0.0.1 -m comment --comment "two words" -j RETURN',
        "-A FILTERS -s=10.0.0.1 -j RETURN",
        "-A FILTERS 3 -s 10.0.0.1 -j RETURN",
        "-4 -A FILTERS -s 10.0.0.1 -j RETURN",
        "-I FILTERS 3 -s 10.0.0.1 -j RETURN",
        '-A FILTERS -s 10.0.0.1 -m comment --comment " 0" -j RETURN',
        '-A FILTERS -s 10.0.0.1 -m comment --comment "dockerfw:a -j RETURN',
    ],
)
def test_other_rules_are_read_as_before(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The line twice, so that the second one could be taken for the form of the first."""
    found: list[object] = []
    for plain in (replay._PLAIN, NEVER):
        monkeypatch.setattr(replay, "_PLAIN", plain)
        try:
            found.append(parse_restore(text(line, line)))
        except ParseError as error:
            found.append(str(error))
    assert found[0] == found[1]
