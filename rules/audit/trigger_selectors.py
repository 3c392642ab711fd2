"""Compare the triggers that keep revisions and audit events append-only with those of the migrations."""

from __future__ import annotations

import re
from importlib import import_module

from django.db import connection

_first = import_module("rules.migrations.0002_append_only")
_second = import_module("rules.migrations.0008_no_replacement")

_SQLITE = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
_POSTGRESQL = """
SELECT t.tgname, pg_get_triggerdef(t.oid), t.tgenabled IN ('O', 'A'), p.prosrc
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = %s::regclass AND NOT t.tgisinternal
"""


def wrong_triggers() -> list[str]:
    """Return the names of triggers that are missing, changed, switched off, or not dockerfw's."""
    expected, found = (
        (_of_sqlite(), _in_sqlite())
        if connection.vendor == "sqlite"
        else (_of_postgresql(), _in_postgresql())
    )
    names = expected.keys() | found.keys()
    return sorted(name for name in names if expected.get(name) != found.get(name))


def _of_sqlite() -> dict[str, str]:
    first = {
        f"{table}_no_{event}": _first.SQLITE_TRIGGER.format(table=table, event=event)
        for table in _first.TABLES
        for event in _first.EVENTS
    }
    second = {
        f"{table}_no_replacement": _second.SQLITE_TRIGGER.format(table=table, keys=keys)
        for table, keys in _second.KEYS.items()
    }
    return {name.lower(): _squeeze(text) for name, text in (first | second).items()}


def _in_sqlite() -> dict[str, str]:
    with connection.cursor() as cursor:
        rows = [row for table in _first.TABLES for row in cursor.execute(_SQLITE, [table]).fetchall()]
    return {name.lower(): _squeeze(text) for name, text in rows}


def _of_postgresql() -> dict[str, str]:
    function = _first.POSTGRESQL_FUNCTION.split("$$")[1]
    return {
        f"{table}_no_{event}".lower(): _squeeze(
            _first.POSTGRESQL_TRIGGER.format(table=table, event=event) + function
        )
        for table in _first.TABLES
        for event in (*_first.EVENTS, "TRUNCATE")
    }


def _in_postgresql() -> dict[str, str]:
    found = {}
    with connection.cursor() as cursor:
        for table in _first.TABLES:
            cursor.execute(_POSTGRESQL, [table])
            for name, definition, enabled, function in cursor.fetchall():
                text = re.sub(r" (ON|FUNCTION) \w+\.", r" \1 ", definition) + function
                found[name.lower()] = _squeeze(text) if enabled else ""
    return found


def _squeeze(text: str) -> str:
    """Return the text in lower case with single blanks, because Postgres prints a statement its own way."""
    return " ".join(text.lower().split())
