"""Let SQLite refuse an INSERT that would replace a revision or an audit event.

`INSERT OR REPLACE` deletes the row in its way without a DELETE trigger. Postgres has no such statement: its
`ON CONFLICT DO UPDATE` and `MERGE` run the triggers of UPDATE and DELETE.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

# The unique columns of each table.
KEYS = {
    "rules_revision": "id = NEW.id OR (host_id = NEW.host_id AND number = NEW.number)",
    "rules_auditevent": "id = NEW.id",
}

SQLITE_TRIGGER = """
CREATE TRIGGER {table}_no_replacement BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE {keys})
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""


def create_triggers(apps: Any, schema_editor: Any) -> None:
    """Make the trigger of each table on SQLite."""
    if schema_editor.connection.vendor == "sqlite":
        for table, keys in KEYS.items():
            schema_editor.execute(SQLITE_TRIGGER.format(table=table, keys=keys))


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    """Take the triggers away again."""
    if schema_editor.connection.vendor == "sqlite":
        for table in KEYS:
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_no_replacement")


class Migration(migrations.Migration):
    dependencies = [("rules", "0007_process_note")]
    operations = [migrations.RunPython(create_triggers, drop_triggers)]
