"""Read from the database what the doctor judges: what is newest, what waits, who told what."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max
from django.utils import timezone

from rules.draft.draft_selectors import base_revision
from rules.models import Apply, AuditEvent, Host, ProcessNote


@dataclass(frozen=True, slots=True)
class Told:
    """What the database tells, in plain values; `error` is empty when it does.

    Times are seconds since 1970, `event` None without any. `revision` is the confirmed one of this process's
    host, 0 for none, with its document as text. `order` is the age of the oldest order that nobody took.
    `versions` and `seen` are by the names of processes.
    """

    error: str = ""
    migrations: int = 0
    event: float | None = None
    revision: int = 0
    document: str = ""
    order: float = 0.0
    versions: dict[str, str] | None = None
    seen: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Told:
        """Read what this program has just written itself."""
        return cls(**{each.name: value[each.name] for each in fields(cls)})


def database_file() -> Path | None:
    """Return the file of the SQLite database, None where it is another one."""
    name = str(connection.settings_dict["NAME"])
    # SQLite takes also addresses such as file:NAME?mode=memory.
    return Path(name) if connection.vendor == "sqlite" and name.startswith("/") else None


def database_told(host_name: str) -> Told:
    """Ask the database everything. Never raises."""
    path = database_file()
    if path is not None and not path.exists():
        return Told(f"there is none at {path}")
    try:
        migrations = _waiting_migrations()
        if migrations:
            return Told(migrations=migrations)
        return _told(host_name)
    except DatabaseError as error:
        return Told("".join(str(error).strip().splitlines()[:1]) or "it does not answer")


def _told(host_name: str) -> Told:
    host = Host.objects.filter(name=host_name).first()
    revision = base_revision(host) if host is not None else None
    notes = list(ProcessNote.objects.all())
    newest = [
        _newest(AuditEvent.objects.aggregate(at=Max("at"))),
        _newest(Apply.objects.aggregate(at=Max("created_at"))),
    ]
    times = [moment.timestamp() for moment in newest if moment is not None]
    queued = Apply.objects.filter(state=Apply.State.QUEUED).order_by("created_at").first()
    return Told(
        event=max(times, default=None),
        revision=revision.number if revision else 0,
        document=revision.document if revision else "",
        order=(timezone.now() - queued.created_at).total_seconds() if queued else 0.0,
        versions={note.name: note.version for note in notes},
        seen={note.name: note.seen_at.timestamp() for note in notes},
    )


def _newest(found: dict[str, Any]) -> datetime | None:
    moment = found["at"]
    return moment if isinstance(moment, datetime) else None


def _waiting_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
