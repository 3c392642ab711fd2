"""One finding of the doctor: what was checked, how it stands, and what to do about it.

Each check gives exactly one finding, under an id that never changes and that docs/doctor.md explains.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "note", "problem", "unknown"]

# In the order in which they are shown.
GROUPS: Final = {
    "backend": "iptables' backend",
    "chains": "chains",
    "anchors": "anchors",
    "boot": "boot",
    "queue": "work that waits",
    "redis": "Redis",
    "database": "database",
    "permissions": "permissions",
    "versions": "versions",
    "clock": "clock",
    "disk": "room",
    "host": "the host",
}
NOT_ROOT: Final = "only root on the host can look"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `text` is a sentence, `todo` what to do, a command where one does it.

    With level "unknown" the check could not be made, and `text` says why in a few words.
    """

    id: str
    level: Level
    text: str
    todo: str = ""

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    def to_json(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {"id": self.id, "level": self.level, "text": self.text, "todo": self.todo}


def ok(check: str, text: str) -> Finding:
    """Say that a check found nothing wrong."""
    return Finding(check, "ok", text)


def note(check: str, text: str, todo: str = "") -> Finding:
    """Say what somebody should know, although all works."""
    return Finding(check, "note", text, todo)


def problem(check: str, text: str, todo: str) -> Finding:
    """Say what is wrong and has to be seen to."""
    return Finding(check, "problem", text, todo)


def unknown(check: str, why: str) -> Finding:
    """Say that a check could not be made."""
    return Finding(check, "unknown", why)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Put findings in the order of their groups; within one they stay as they came."""
    places = {name: place for place, name in enumerate(GROUPS)}
    return sorted(findings, key=lambda finding: places[finding.group])
