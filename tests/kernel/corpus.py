"""The rules of corpus.txt, which use every match and target extension.

Each test decides how to handle rules that the kernel refuses.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.rig.namespace import Family

TARGET_CHAIN = "ELSEWHERE"
IP_SET = "corpus"


@dataclass(frozen=True)
class Sample:
    """One rule to load: the words that follow `-A CHAIN`."""

    table: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.table}: {shlex.join(self.words)}"


def samples(family: Family) -> list[Sample]:
    """Return the rules for one family."""
    found = []
    for line in Path(__file__).with_name("corpus.txt").read_text("utf-8").splitlines():
        families, table, rule = line.split(" ", 2)
        if families != "#" and str(family) in families:
            found.append(Sample(table, tuple(shlex.split(rule))))
    return found
