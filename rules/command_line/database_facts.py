"""Read the facts that doctor judges from the database: newest times, waiting work, processes seen."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max
from django.utils import timezone

from dockerfw.doctor.dashboard import DatabaseAnswer
from rules.audit.trigger_selectors import wrong_triggers
from rules.draft.draft_selectors import base_revision
from rules.models import Apply, AuditEvent, Host, ProcessNote


def database_file() -> Path | None:
    """Return the file of the SQLite database, None for another database."""
    name = str(connection.settings_dict["NAME"])
    # SQLite also accepts names such as file:NAME?mode=memory.
    return Path(name) if connection.vendor == "sqlite" and name.startswith("/") else None


def read_database(host_name: str) -> DatabaseAnswer:
    """Read all facts of the database. Never raises."""
    path = database_file()
    if path is not None and not path.exists():
        return DatabaseAnswer(f"there is no file {path}")
    try:
        migrations = _waiting_migrations()
        if migrations:
            return DatabaseAnswer(migrations=migrations)
        return _read(host_name)
    except DatabaseError as error:
        return DatabaseAnswer("".join(str(error).strip().splitlines()[:1]) or "it does not answer")


def _read(host_name: str) -> DatabaseAnswer:
    host = Host.objects.filter(name=host_name).first()
    revision = base_revision(host) if host is not None else None
    notes = list(ProcessNote.objects.all())
    newest = [
        _newest(AuditEvent.objects.aggregate(at=Max("at"))),
        _newest(Apply.objects.aggregate(at=Max("created_at"))),
    ]
    times = [moment.timestamp() for moment in newest if moment is not None]
    queued = Apply.objects.filter(state=Apply.State.QUEUED).order_by("created_at").first()
    return DatabaseAnswer(
        event=max(times, default=None),
        revision=revision.number if revision else 0,
        document=revision.document if revision else "",
        order=(timezone.now() - queued.created_at).total_seconds() if queued else 0.0,
        versions={note.name: note.version for note in notes},
        seen={note.name: note.seen_at.timestamp() for note in notes},
        triggers=wrong_triggers(),
    )


def _newest(found: dict[str, Any]) -> datetime | None:
    moment = found["at"]
    return moment if isinstance(moment, datetime) else None


def _waiting_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
