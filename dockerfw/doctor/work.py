"""Check that work gets done: the root worker runs, orders are taken, and the clerk records the reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import RESTART_ROOT, Finding, note, ok, problem, unknown

RESTORE: Final = "stop dockerfw, then {command} restore FILE --replace"
START_CLERK: Final = "systemctl restart dockerfw-clerk, or docker compose restart clerk"
# A little later the clerk gives up an order that no root worker took.
ORDER_SECONDS: Final = 120.0
REPORT_SECONDS: Final = 600.0
CLERK_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """Ages in seconds, None where they are not known.

    `worker` is true when a root worker holds its lock. `restore` describes an interrupted restore, empty for
    none. `snapshot` is the age of the last snapshot, taken every `every` seconds. `order` is the age of the
    oldest order that no root worker took, 0 without one. `left` describes an apply that is overdue, empty for
    none. `words` is the number of reports that wait in the journal, the oldest for `oldest` seconds. `clerk`
    is the time since the clerk last reported in, -1 for never. `command` is the name of the command line.
    """

    worker: bool | None = None
    restore: str | None = None
    snapshot: float | None = None
    every: float = 60.0
    order: float | None = None
    left: str | None = None
    words: int | None = None
    oldest: float = 0.0
    clerk: float | None = None
    command: str = "dockerfw"


def judge_work(facts: WorkFacts) -> Iterator[Finding]:
    """Judge all of it."""
    yield _worker(facts)
    yield _restore(facts)
    yield _snapshot(facts)
    yield _order(facts.order)
    yield _window(facts.left)
    yield _words(facts)
    yield _clerk(facts.clerk)


def _worker(facts: WorkFacts) -> Finding:
    check = "queue.root-worker"
    if facts.worker is None:
        return unknown(check, "needs root to see which process holds the state directory")
    if not facts.worker:
        todo = f"first {RESTORE.format(command=facts.command)}" if facts.restore else RESTART_ROOT
        return problem(check, "The root worker does not run: rules are not applied, read or restored.", todo)
    return ok(check, "The root worker runs.")


def _restore(facts: WorkFacts) -> Finding:
    check = "queue.restore"
    if facts.restore is None:
        return unknown(check, "needs root to read the state directory")
    if facts.restore:
        return problem(check, facts.restore, RESTORE.format(command=facts.command))
    return ok(check, "No restore was interrupted.")


def _snapshot(facts: WorkFacts) -> Finding:
    check = "queue.snapshot"
    if facts.snapshot is None:
        return unknown(check, "this process may not read the last snapshot")
    if facts.snapshot > 2 * facts.every + 30:
        text = (
            f"The last snapshot is {facts.snapshot:.0f} seconds old, but the root worker should take one"
            f" every {facts.every:.0f} seconds."
        )
        return problem(check, text, RESTART_ROOT)
    return ok(check, f"The last snapshot is {max(0.0, facts.snapshot):.0f} seconds old.")


def _order(age: float | None) -> Finding:
    check = "queue.orders"
    if age is None:
        return unknown(check, "the database cannot be asked")
    if age > ORDER_SECONDS:
        text = f"An order has waited for {age:.0f} seconds, and no root worker took it."
        return problem(check, text, RESTART_ROOT)
    return ok(check, "No order waits too long.")


def _window(left: str | None) -> Finding:
    check = "queue.window"
    if left is None:
        return unknown(check, "needs root to read the open window")
    if left:
        text = f"An apply is overdue: {left}. No other apply can start until it ends."
        return problem(check, text, f"{RESTART_ROOT}; its journal gives the reason")
    return ok(check, "No apply is overdue.")


def _words(facts: WorkFacts) -> Finding:
    check = "queue.outcomes"
    if facts.words is None:
        return unknown(check, "needs root to read the journal")
    if facts.words and facts.oldest > REPORT_SECONDS:
        text = f"{facts.words} reports wait for the clerk, the oldest for {facts.oldest / 60:.0f} minutes."
        return problem(check, text, START_CLERK)
    return ok(check, "The clerk has recorded the root worker's reports.")


def _clerk(age: float | None) -> Finding:
    check = "queue.clerk"
    if age is None:
        return unknown(check, "the database cannot be asked")
    if age < 0:
        return note(check, "The clerk has not reported in yet.", START_CLERK)
    if age > CLERK_SECONDS:
        return problem(check, f"The clerk last reported in {age / 60:.0f} minutes ago.", START_CLERK)
    return ok(check, "The clerk runs.")
