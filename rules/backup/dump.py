"""The database as portable rows: the same for SQLite and Postgres, one line for each row of each table.

All rows are read as of one moment, while other processes continue to write. The models match the migrations
that the database has had, so a database can be read before an upgrade migrates it.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import IO, Any
from uuid import UUID

from django.apps.registry import Apps
from django.db import connection, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from rules.pages.errors import ServiceError

CHUNK = 500


def database_dump(rows: IO[bytes]) -> dict[str, Any]:
    """Write every row of every table and return the database's part of the manifest. Raises ServiceError."""
    if connection.vendor == "sqlite":
        # A deferred transaction reads one moment and does not block writers.
        connection.settings_dict["OPTIONS"] = {
            **connection.settings_dict["OPTIONS"],
            "transaction_mode": "DEFERRED",
        }
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        applied = _applied()
        counts = {model._meta.label_lower: _dump(model, rows) for model in tables(historical(applied))}
    return {"vendor": connection.vendor, "migrations": [list(key) for key in applied], "rows": counts}


def historical(applied: list[tuple[str, str]]) -> Apps:
    """Return the models as they were after these migrations."""
    return MigrationLoader(connection).project_state(applied).apps


def tables(apps: Apps) -> list[type[models.Model]]:
    """Return the models that have a table, sorted by name, with those of many-to-many relations."""
    found = apps.get_models(include_auto_created=True)
    own = [model for model in found if model._meta.managed and not model._meta.proxy]
    return sorted(own, key=lambda model: model._meta.label_lower)


def columns(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    """Return the stored fields of a model under the names of their columns."""
    return {field.attname: field for field in model._meta.concrete_fields}


def _applied() -> list[tuple[str, str]]:
    recorder = MigrationRecorder(connection)
    if not recorder.has_table():
        raise ServiceError("There is nothing to back up: the database has no tables of dockerfw.")
    known = MigrationLoader(connection).disk_migrations
    applied = sorted(recorder.applied_migrations())
    for key in applied:
        if known is None or key not in known:
            raise ServiceError(
                f"The database has the migration {'.'.join(key)} of a newer dockerfw. Upgrade dockerfw first."
            )
    return applied


def _dump(model: type[models.Model], rows: IO[bytes]) -> int:
    names = list(columns(model))
    label = model._meta.label_lower
    count = 0
    for values in model._base_manager.order_by("pk").values_list(*names).iterator(chunk_size=CHUNK):
        line = {"model": label, "row": dict(zip(names, values, strict=True))}
        rows.write(json.dumps(line, default=_plain, separators=(",", ":")).encode() + b"\n")
        count += 1
    return count


def _plain(value: object) -> str:
    # Django's encoder drops microseconds.
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be written to a backup")
