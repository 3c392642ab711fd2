"""A reader of the database of a fault run that uses SQLite alone, and can lock it: `-m ... FILE`.

It reads what stands there itself, so that what dockerfw says about its rows is not taken for granted.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

from tests.faults.lines import serve

ROW = """
    SELECT apply.state, apply.last_event, apply.error, apply.way_back, revision.number,
           (SELECT number FROM rules_revision WHERE id = host.confirmed_revision_id)
    FROM rules_apply AS apply
    JOIN rules_revision AS revision ON revision.id = apply.revision_id
    JOIN rules_host AS host ON host.id = apply.host_id
    WHERE apply.id = ?
"""
EVENTS = "SELECT verb FROM rules_auditevent WHERE json_extract(after, '$.apply') = ? ORDER BY id"
CONFIRMED = """
    SELECT revision.number FROM rules_host AS host
    LEFT JOIN rules_revision AS revision ON revision.id = host.confirmed_revision_id
"""


class Witness:
    """One database file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lock: sqlite3.Connection | None = None
        self._eyes = sqlite3.connect(file, isolation_level=None, timeout=30)

    def row(self, apply: str) -> dict[str, Any]:
        """Return what the database says about an apply."""
        state, event, error, way_back, revision, confirmed = self._eyes.execute(
            ROW, [UUID(apply).hex]
        ).fetchone()
        return {
            "state": state,
            "event": event,
            "error": json.loads(error) if error else None,
            "way_back": json.loads(way_back) if way_back else None,
            "revision": revision,
            "confirmed": confirmed,
            "audit": [verb for (verb,) in self._eyes.execute(EVENTS, [apply])],
        }

    def confirmed(self) -> int | None:
        """Return the number of the revision that counts as confirmed."""
        found = self._eyes.execute(CONFIRMED).fetchone()
        return None if found is None else found[0]

    def lock(self) -> None:
        """Lock the database against writes."""
        self._lock = sqlite3.connect(self._file, isolation_level=None, timeout=30)
        self._lock.execute("BEGIN EXCLUSIVE")

    def unlock(self) -> None:
        """Unlock the database."""
        if self._lock is not None:
            self._lock.execute("ROLLBACK")
            self._lock.close()
            self._lock = None


if __name__ == "__main__":
    witness = Witness(sys.argv[1])
    calls: dict[str, Callable[..., object]] = {
        "row": witness.row,
        "confirmed": witness.confirmed,
        "lock": witness.lock,
        "unlock": witness.unlock,
    }
    serve(calls, (sqlite3.Error,))
