"""Judge whether work gets done: a root worker that looks, orders that wait, words that nobody takes down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown

START_ROOT: Final = "systemctl restart dockerfw-root, or docker compose restart firewall"
RESTORE: Final = "stop dockerfw, then {command} restore FILE --replace"
START_CLERK: Final = "systemctl restart dockerfw-clerk, or docker compose restart clerk"
# An order that nobody takes for so long is given up by the clerk a little later.
ORDER_SECONDS: Final = 120.0
WORDS_SECONDS: Final = 600.0
CLERK_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """Ages in seconds, None where they are not known.

    `worker` says whether a root worker holds its lock, None where that cannot be seen. `restore` says which
    restore has not come to its end, empty for none. `snapshot` is the age of the last look, which comes each
    `every` seconds; `order` that of the oldest order that nobody took, 0 without one. `left` says which apply
    should have come to its end, empty for none. `words` is how many outcomes and events wait in the journal,
    the oldest since `oldest`; `clerk` how long ago it told that it is there, -1 for never. `command` is how
    the command line is called here.
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
        return unknown(check, "only root can see who holds the state directory")
    if not facts.worker:
        todo = f"first {RESTORE.format(command=facts.command)}" if facts.restore else START_ROOT
        return problem(check, "No root worker runs: nothing is applied, looked at or put back.", todo)
    return ok(check, "The root worker runs.")


def _restore(facts: WorkFacts) -> Finding:
    check = "queue.restore"
    if facts.restore is None:
        return unknown(check, "only root can look into the state directory")
    if facts.restore:
        return problem(check, facts.restore, RESTORE.format(command=facts.command))
    return ok(check, "No restore was cut off.")


def _snapshot(facts: WorkFacts) -> Finding:
    check = "queue.snapshot"
    if facts.snapshot is None:
        return unknown(check, "the last look at the host cannot be read here")
    if facts.snapshot > 2 * facts.every + 30:
        text = f"The root worker looked {facts.snapshot:.0f} seconds ago, and should each {facts.every:.0f}."
        return problem(check, text, START_ROOT)
    return ok(check, f"The root worker looked {max(0.0, facts.snapshot):.0f} seconds ago.")


def _order(age: float | None) -> Finding:
    check = "queue.orders"
    if age is None:
        return unknown(check, "the database does not tell")
    if age > ORDER_SECONDS:
        return problem(check, f"An order has waited for {age:.0f} seconds, and nobody took it.", START_ROOT)
    return ok(check, "No order waits for long.")


def _window(left: str | None) -> Finding:
    check = "queue.window"
    if left is None:
        return unknown(check, "only root can look at the open window")
    if left:
        text = f"An apply did not come to its end: {left}. Until then no other can begin."
        return problem(check, text, f"{START_ROOT}; its journal says what is in the way")
    return ok(check, "No apply has stayed longer than its window.")


def _words(facts: WorkFacts) -> Finding:
    check = "queue.outcomes"
    if facts.words is None:
        return unknown(check, "only root can look into the journal")
    if facts.words and facts.oldest > WORDS_SECONDS:
        text = (
            f"{facts.words} reports wait to be written down, the oldest for {facts.oldest / 60:.0f} minutes."
        )
        return problem(check, text, START_CLERK)
    return ok(check, "What the root worker reported is written down.")


def _clerk(age: float | None) -> Finding:
    check = "queue.clerk"
    if age is None:
        return unknown(check, "the database does not tell")
    if age < 0:
        return note(check, "The clerk has not told yet that it is there.", START_CLERK)
    if age > CLERK_SECONDS:
        return problem(check, f"The clerk was last seen {age / 60:.0f} minutes ago.", START_CLERK)
    return ok(check, "The clerk is there.")
