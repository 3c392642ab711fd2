"""From SQLite to Postgres and back by a backup, and each migration on Postgres with rows in its tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.backup.installation import Installation, released
from tests.backup.postgres import postgres


@pytest.fixture
def address() -> Iterator[str]:
    """An empty database."""
    with postgres() as found:
        yield found


def query(address: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address.replace("postgres://", "postgresql://")) as connection:
        found = connection.execute(text)
        return found.fetchall() if found.description else []


def values(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Read what is stored as JSON, of which Postgres does not keep the order of keys."""
    return {
        name: [
            {
                key: json.loads(value) if str(value).startswith(("{", "[")) else value
                for key, value in row.items()
            }
            for row in table
        ]
        for name, table in rows.items()
    }


def wrong_triggers(installation: Installation) -> list[str]:
    """Ask an installation's own code which triggers are not as they should be."""
    question = "from rules.audit.trigger_selectors import wrong_triggers as wrong; print(*wrong())"
    done = installation.manage("shell", "--no-imports", "--command", question)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split()


def test_there_and_back_again(address: str, tmp_path: Path) -> None:
    old = released("0.1.0", tmp_path / "old")
    old.firewall("backup", str(tmp_path / "first"))
    there = Installation(tmp_path / "there", database_url=address)
    said = there.firewall("restore", str(tmp_path / "first"), "--no-live")
    assert "4 revisions: all digests were recomputed and match" in said
    assert there.manage("migrate", "--check").returncode == 0

    # History is as closed there as in SQLite.
    for text in (
        "UPDATE rules_revision SET message = 'x'",
        "DELETE FROM rules_auditevent",
        "TRUNCATE rules_auditevent",
        "INSERT INTO rules_auditevent SELECT * FROM rules_auditevent "
        "ON CONFLICT (id) DO UPDATE SET verb = 'x'",
        "MERGE INTO rules_revision r USING rules_revision s ON r.id = s.id WHEN MATCHED THEN DELETE",
    ):
        with pytest.raises(psycopg.errors.IntegrityError, match="append-only"):
            query(address, text)
    assert wrong_triggers(there) == []
    query(address, "ALTER TABLE rules_revision DISABLE TRIGGER rules_revision_no_update")
    query(address, "DROP TRIGGER rules_auditevent_no_delete ON rules_auditevent")
    assert wrong_triggers(there) == ["rules_auditevent_no_delete", "rules_revision_no_update"]
    # New rows get numbers of their own.
    there.manage("firewall", "import", "-", given=b'{"format": "dockerfw/1", "rules": []}')
    assert query(address, "SELECT count(*) FROM rules_rule") == [(0,)]
    newest = query(address, "SELECT verb FROM rules_auditevent ORDER BY id DESC LIMIT 1")
    assert newest == [("draft-replace",)]

    # What is there stays as it was when another takes its place, and that can fail.
    assert "--replace" in there.refused("restore", str(tmp_path / "first"))
    with psycopg.connect(address.replace("postgres://", "postgresql://")) as other:
        other.execute("SELECT 1")
        assert "in use" in there.refused("restore", str(tmp_path / "first"), "--replace")
    assert query(address, "SELECT count(*) FROM rules_rule") == [(0,)]
    said = there.firewall("restore", str(tmp_path / "first"), "--replace", "--no-live")
    schema = query(
        address, "SELECT schema_name FROM information_schema.schemata WHERE schema_name ~ '^before_'"
    )
    assert f"the schema {schema[0][0]}" in said
    assert query(address, f"SELECT count(*) FROM {schema[0][0]}.rules_rule") == [(0,)]
    assert query(address, "SELECT count(*) FROM rules_rule") != [(0,)]

    # And back: the same rows, but for the two notes of having been restored.
    there.firewall("backup", str(tmp_path / "second"))
    new = Installation(tmp_path / "new")
    new.firewall("restore", str(tmp_path / "second"), "--no-live")
    rows, before = values(new.rows(like=old)), values(old.rows())
    assert [row["verb"] for row in rows["rules_auditevent"][-2:]] == ["backup-restore"] * 2
    del rows["rules_auditevent"][-2:]
    assert rows == before
