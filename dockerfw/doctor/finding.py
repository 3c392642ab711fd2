"""One finding of doctor: what was checked, the result, and what to do.

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
    "queue": "waiting work",
    "redis": "Redis",
    "signing": "signed orders",
    "database": "database",
    "permissions": "permissions",
    "versions": "versions",
    "clock": "clock",
    "disk": "free space",
    "host": "the host",
}
NOT_ROOT: Final = "needs root on the host"
RESTART_ROOT: Final = "systemctl restart dockerfw-root, or docker compose restart firewall"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: `text` is a sentence, `todo` the fix, as a command where one is enough.

    With level "unknown" the check could not be made, and `text` gives the reason in a few words.
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
    """Return a finding for a check that passed."""
    return Finding(check, "ok", text)


def note(check: str, text: str, todo: str = "") -> Finding:
    """Return a finding that an admin should know although dockerfw works."""
    return Finding(check, "note", text, todo)


def problem(check: str, text: str, todo: str) -> Finding:
    """Return a finding that an admin has to fix."""
    return Finding(check, "problem", text, todo)


def unknown(check: str, why: str) -> Finding:
    """Return a finding for a check that could not be made."""
    return Finding(check, "unknown", why)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in the order of their groups, and within a group in the given order."""
    places = {name: place for place, name in enumerate(GROUPS)}
    return sorted(findings, key=lambda finding: places[finding.group])
