"""Let the database itself refuse UPDATE and DELETE on revisions and audit events."""

from __future__ import annotations

from typing import Any

from django.db import migrations

TABLES = ("rules_revision", "rules_auditevent")
EVENTS = ("UPDATE", "DELETE")

SQLITE_TRIGGER = """
CREATE TRIGGER {table}_no_{event} BEFORE {event} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""

POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION rules_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""

POSTGRESQL_TRIGGER = """
CREATE TRIGGER {table}_no_{event} BEFORE {event} ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION rules_append_only()
"""


def create_triggers(apps: Any, schema_editor: Any) -> None:
    """Make one trigger for each table and event."""
    vendor = schema_editor.connection.vendor
    if vendor == "postgresql":
        schema_editor.execute(POSTGRESQL_FUNCTION, params=None)
        for table in TABLES:
            for event in (*EVENTS, "TRUNCATE"):
                schema_editor.execute(POSTGRESQL_TRIGGER.format(table=table, event=event))
    elif vendor == "sqlite":
        for table in TABLES:
            for event in EVENTS:
                schema_editor.execute(SQLITE_TRIGGER.format(table=table, event=event))
    else:
        raise NotImplementedError(f"append-only triggers are not written for {vendor}")


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    """Take the triggers away again."""
    vendor = schema_editor.connection.vendor
    for table in TABLES:
        for event in (*EVENTS, "TRUNCATE") if vendor == "postgresql" else EVENTS:
            on_table = f" ON {table}" if vendor == "postgresql" else ""
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_no_{event}{on_table}")


class Migration(migrations.Migration):
    """Runs after the tables exist; a fresh host is made by the next one."""

    dependencies = [("rules", "0001_initial")]
    operations = [migrations.RunPython(create_triggers, drop_triggers)]
