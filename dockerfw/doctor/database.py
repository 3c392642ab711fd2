"""Check the dashboard's database. The dashboard itself gathers the facts (see dashboard.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dockerfw.doctor.finding import Finding, ok, problem, unknown

APPEND_ONLY = "database.append-only"
MIGRATE = "systemctl restart dockerfw-web, or: python manage.py migrate"


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Whether the database could be used.

    `error` says why it failed, `untried` why it was not asked. `migrations` is the number of migrations that
    are not applied yet. `triggers` names the wrong triggers of the append-only tables.
    """

    error: str = ""
    untried: str = ""
    migrations: int = 0
    triggers: tuple[str, ...] = ()


def judge_database(facts: DatabaseFacts) -> Iterator[Finding]:
    """Judge the database."""
    if facts.untried:
        yield unknown("database.reachable", facts.untried)
        yield unknown("database.migrated", facts.untried)
        yield unknown(APPEND_ONLY, facts.untried)
        return
    if facts.error:
        text = f"The database cannot be used: {facts.error}"
        yield problem("database.reachable", text, "journalctl -u dockerfw-web -n 50")
        yield unknown("database.migrated", "the database cannot be used")
        yield unknown(APPEND_ONLY, "the database cannot be used")
        return
    yield ok("database.reachable", "The database answers.")
    if facts.migrations:
        text = f"{facts.migrations} migrations of this release are not applied."
        yield problem("database.migrated", text, MIGRATE)
        yield unknown(APPEND_ONLY, "the database does not have every migration of this release")
        return
    yield ok("database.migrated", "The database has every migration of this release.")
    if facts.triggers:
        names = ", ".join(facts.triggers)
        text = f"Revisions and audit events can be changed. Missing or changed triggers: {names}."
        yield problem(
            APPEND_ONLY, text, "compare the revisions and the audit log with a backup, then restore it"
        )
    else:
        yield ok(APPEND_ONLY, "The database refuses to change or delete revisions and audit events.")
