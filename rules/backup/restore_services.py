"""Build a database from a backup's rows beside the present one, check it, and only then replace that one.

Rows are loaded into the tables of the backup's release, which are then migrated to this release. The digests
of all revisions are recomputed, open applies are marked as given up, and the sequence is ahead of all earlier
orders.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.db import DatabaseError, connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from dockerfw.document.bounded_json import read_json
from dockerfw.document.document import canonical_json, digest, parse_document
from dockerfw.iptables.errors import JsonError, NetfilterError
from dockerfw.messages.orders import seconds_ahead
from rules.applying.expiry_services import apply_give_up
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.backup.dump import columns, historical, tables
from rules.backup.place import open_new_place, read_present
from rules.models import Apply, Host, Revision, SetupLink
from rules.pages.errors import ServiceError

MOST_ROW_BYTES = 64 * 1024 * 1024
BATCH = 500
CUT_OFF = (
    "This apply was still running when the restored backup was made. Check which rules the kernel holds, "
    "then apply again."
)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """The migrations and the row counts of a manifest, checked."""

    migrations: list[Key]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a restore.

    `actor` and `detail` are for the audit log. The new sequence number is at least `floor`. With `replace` an
    existing installation is replaced and kept under a name that ends in `aside`.
    """

    actor: Actor
    detail: str
    host: str
    floor: int
    replace: bool
    aside: str


def source_check(facts: dict[str, Any]) -> Source:
    """Read the manifest's part about the database. Raises ServiceError, also for a newer release's."""
    try:
        migrations = [(str(app), str(name)) for app, name in facts["migrations"]]
        counts = {str(label): int(count) for label, count in facts["rows"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ServiceError("The manifest does not describe the database.") from None
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations or {}
    for key in migrations:
        if key not in known:
            raise ServiceError(
                f"the backup is of a newer dockerfw (migration {'.'.join(key)[:80]}). Upgrade dockerfw first"
            )
    if not any(app == "rules" for app, _ in migrations):
        raise ServiceError("The backup's database has no tables of dockerfw.")
    return Source(migrations, counts)


def rows_check(rows: IO[bytes], source: Source) -> None:
    """Check the table and the columns of every row, the number of rows, and the digests of revisions.

    Raises ServiceError with the number of the line.
    """
    found: Counter[str] = Counter()
    known = {model._meta.label_lower: model for model in tables(historical_without_database(source))}
    for number, model, values in _read(rows, known):
        found[model._meta.label_lower] += 1
        if model._meta.label_lower == "rules.revision":
            _check_revision(str(values["document"]), str(values["digest"]), f"revision in line {number}")
    wanted = {label: count for label, count in source.counts.items() if count}
    if dict(found) != wanted:
        raise ServiceError("The number of rows differs from the manifest's.")


def historical_without_database(source: Source) -> Any:
    """Return the models after the source's migrations, without a database."""
    return MigrationLoader(None, ignore_no_migrations=True).project_state(source.migrations).apps


def database_restore(
    rows: IO[bytes], source: Source, terms: Terms, pause: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Build the restored database, wait in `pause`, then replace the present one.

    `pause` gets the result of the checks. If it raises, nothing changes. Raises ServiceError, DatabaseError
    and OSError.
    """
    present = read_present()
    if present.rows and not terms.replace:
        raise ServiceError(
            "there is an installation already, with accounts or revisions in its database. "
            "--replace moves it aside and restores the backup"
        )
    now = time.time_ns() // 1_000_000
    # A number far ahead of the clock would end all applies.
    usable = [number for number in (terms.floor, present.sequence) if not seconds_ahead(number, now / 1000)]
    floor = max(now, *usable)
    with open_new_place(aside=terms.aside) as place:
        _migrate(source.migrations)
        _load(rows, source)
        _migrate(None)
        found = _finish(terms, floor)
        place.check()
        pause({**found, "sequence": floor})
        place.take()
    return {"kept": place.kept}


def _migrate(had: list[Key] | None) -> None:
    """Migrate the database to the state after the migrations `had`, to the newest for None."""
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    if had is None:
        executor.migrate(graph.leaf_nodes())
        return
    followed = {
        parent.key for key in had for parent in graph.node_map[key].parents if parent.key[0] == key[0]
    }
    executor.migrate([key for key in had if key not in followed])


def _load(rows: IO[bytes], source: Source) -> None:
    known = {model._meta.label_lower: model for model in tables(historical(source.migrations))}
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # Rows come table by table, so references are checked at the end.
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for model in known.values():
            if model._base_manager.exists():
                # Rows that a migration created are in the backup too.
                model._base_manager.all()._raw_delete("default")
        for number, model, values in _read(rows, known):
            try:
                # Store the row unchanged: no automatic times, no model's own save().
                model(**values).save_base(raw=True, force_insert=True)
            except (DatabaseError, ValueError, OverflowError) as error:
                raise ServiceError(f"The row in line {number} cannot be stored: {_first(error)}") from error
        try:
            connection.check_constraints()
        except DatabaseError as error:
            raise ServiceError(f"The rows do not match each other: {_first(error)}") from error
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                # The next migration cannot change tables with pending checks.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for statement in connection.ops.sequence_reset_sql(no_style(), list(known.values())):
                cursor.execute(statement)


def _read(
    rows: IO[bytes], known: dict[str, type[models.Model]]
) -> Iterator[tuple[int, type[models.Model], dict[str, Any]]]:
    """Yield the number, the model and the values of each line. ServiceError."""
    rows.seek(0)
    number = 0
    while line := rows.readline(MOST_ROW_BYTES):
        number += 1
        try:
            value: Any = read_json(line)
            model = known[value["model"]]
            fields = columns(model)
            if value["row"].keys() != fields.keys() or value.keys() != {"model", "row"}:
                raise ValueError("its columns are not those of its table")
            values = {name: _value(fields[name], item) for name, item in value["row"].items()}
        except (JsonError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise ServiceError(f"The row in line {number} is not valid: {_first(error)}") from None
        yield number, model, values


def _value(field: models.Field[Any, Any], item: object) -> object:
    stored = getattr(field, "target_field", field)
    if isinstance(stored, models.IntegerField) and isinstance(item, str | float):
        # Django would convert it to a whole number, however many digits it has.
        raise ValueError(f"{field.attname} is not a whole number")
    return field.to_python(item)


def _check_revision(document: str, wanted: str, what: str) -> None:
    try:
        parsed = parse_document(read_json(document))
    except NetfilterError as error:
        raise ServiceError(f"The document of the {what} is not valid: {_first(error)}") from None
    if digest(parsed) != wanted or canonical_json(parsed) != document:
        raise ServiceError(f"The document of the {what} does not match its digest.")


def _finish(terms: Terms, floor: int) -> dict[str, Any]:
    """Check the stored revisions again, give up open applies, and return the facts for the first process."""
    with transaction.atomic():
        for revision in Revision.objects.select_related("host").iterator(chunk_size=BATCH):
            what = f"revision {revision.number} of {revision.host.name}"
            _check_revision(revision.document, revision.digest, what)
        SetupLink.objects.filter(used_at=None).delete()
        open_applies = list(
            Apply.objects.filter(state__in=Apply.UNFINISHED).select_related("host", "revision")
        )
        for apply in open_applies:
            apply_give_up(apply=apply, summary=CUT_OFF)
        for host in Host.objects.all():
            host.sequence = max(host.sequence + 1, floor)
            host.save(update_fields=["sequence"])
        own = Host.objects.filter(name=terms.host).select_related("confirmed_revision").first()
        confirmed = own.confirmed_revision if own else None
        audit_record(
            actor=terms.actor,
            verb="backup-restore",
            host=own,
            detail=terms.detail,
            after={"given_up": [str(apply.pk) for apply in open_applies]},
        )
        return {
            "revisions": Revision.objects.count(),
            "given_up": len(open_applies),
            "confirmed": [confirmed.number, confirmed.digest] if confirmed else None,
        }


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
