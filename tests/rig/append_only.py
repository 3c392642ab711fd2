"""Let Django empty the test database although its triggers refuse to.

A test with `transaction=True` ends with a flush, which deletes every row; revisions and audit events refuse
that. Production keeps its triggers: they are taken away only around the flush of a test, and restored after
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.operations import BaseDatabaseOperations

migrations = [
    import_module(f"rules.migrations.{name}") for name in ("0002_append_only", "0008_no_replacement")
]


@pytest.fixture(autouse=True, scope="session")
def flush_despite_triggers() -> Iterator[None]:
    """Wrap the flush of every database of the test run."""
    flush = BaseDatabaseOperations.execute_sql_flush

    def flush_without_triggers(operations: BaseDatabaseOperations, sql_list: Any) -> None:
        database = connections[operations.connection.alias]
        with database.cursor() as cursor:
            editor = SimpleNamespace(connection=database, execute=cursor.execute)
            for migration in migrations:
                migration.drop_triggers(None, editor)
            try:
                flush(operations, sql_list)
            finally:
                for migration in migrations:
                    migration.create_triggers(None, editor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush_without_triggers)
        yield
