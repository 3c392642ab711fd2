"""What the dashboard tells doctor: its database's facts and its folders.

The dashboard passes a function that returns this to `examine`. On a host without the dashboard the checks of
the database are unknown.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class DatabaseAnswer:
    """What the database says, in plain values; `error` is empty when it answered.

    Times are seconds since 1970, `event` None without any. `revision` is the number of the host's confirmed
    revision, 0 for none, and `document` its text. `order` is the age of the oldest order that no root worker
    took. `versions` and `seen` are by the names of processes. `triggers` names the wrong triggers of the
    append-only tables.
    """

    error: str = ""
    migrations: int = 0
    event: float | None = None
    revision: int = 0
    document: str = ""
    order: float = 0.0
    versions: dict[str, str] | None = None
    seen: dict[str, float] | None = None
    triggers: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DatabaseAnswer:
        """Read what `to_json` of this release wrote."""
        return cls(**{each.name: value[each.name] for each in fields(cls)})


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The dashboard on this host; `untried` says why its database was not asked, empty when it was."""

    answer: DatabaseAnswer = field(default_factory=DatabaseAnswer)
    untried: str = ""
    data_dir: Path | None = None
    secret_key: Path | None = None
    signing_key: Path | None = None
    lists_key: Path | None = None

    @property
    def answered(self) -> bool:
        """True when the database answered and has every migration."""
        return not self.untried and not self.answer.error and not self.answer.migrations


NO_DASHBOARD = Dashboard(untried="the dashboard is not installed here")
