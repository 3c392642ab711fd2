"""The recorded results beside ufw, firewalld and fail2ban, and the tables of docs/firewalls.md.

Nothing here runs a test. matrix_results.py has the file's format and the Markdown.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.firewalls.neighbours import NEIGHBOURS
from tests.firewalls.tour import NOTHING, Row, Walk
from tests.rig.matrix_results import (
    DATA,
    Cell,
    Record,
    State,
    read_record,
    render_table,
    render_versions,
    with_generated,
    write_record,
)

NAME: Final = "firewalls"
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "firewalls.md"
WALKS: Final = "walks"
_COLUMNS: Final = {"after": "right after it", "back": "all active again"}
_PROGRAMS: Final = ("package", "Docker", "iptables", "Linux")
_LOST: Final = {
    "nothing-loaded": "all dockerfw rules are gone",
    "rules-changed": "dockerfw's rules were changed",
    "anchor-missing": "the jumps to dockerfw are gone",
    "anchor-not-first": "another rule comes before dockerfw's",
    "docker-user-not-called": "Docker's jump to `DOCKER-USER` is gone",
    "docker-user-not-first": "a rule accepts packets before `DOCKER-USER`",
    "docker-user-unclear": "a rule may accept packets before `DOCKER-USER`",
}


def row_cells(row: Row) -> tuple[Cell, ...]:
    """Return what the tables tell of one operation."""
    state: State = "wrong" if row.wrong else "no" if row.lost else "ok"
    lost = ", ".join(_LOST[each] for each in sorted(row.lost, key=list(_LOST).index))
    told = [f"{lost[0].upper()}{lost[1:]}."] if lost else []
    told += [*row.who, *([row.beside] if row.beside else []), *row.wrong]
    back = "" if row.back == NOTHING else f"{row.back[0].upper()}{row.back[1:]}."
    return (
        Cell(row.neighbour, row.operation, "after", state, " ".join(told)),
        Cell(row.neighbour, row.operation, "back", "wrong" if row.wrong else "ok", back),
    )


def walk_cells(walk: Walk) -> tuple[Cell, ...]:
    """Return what the table of walks tells of one."""
    words = [f"{len(walk.steps)} steps. Rules were lost after {walk.lost} of them.", *walk.wrong]
    return (
        Cell(WALKS, walk.neighbour, f"seed {walk.seed}", "wrong" if walk.wrong else "ok", " ".join(words)),
    )


def record(kind: str, found: Sequence[dict[str, Any]], versions: Mapping[str, str]) -> None:
    """Put rows or walks, as JSON has them, in the place of the same ones, and make the page anew."""
    frozen: list[dict[str, Any]] = [
        {key: tuple(value) if isinstance(value, list) else value for key, value in each.items()}
        for each in found
    ]
    cells: list[Cell] = []
    for each in frozen:
        cells += row_cells(Row(**each)) if kind == "rows" else walk_cells(Walk(**each))
    before = read_record(NAME) if (DATA / f"{NAME}.json").exists() else Record("", {}, ())
    renewed = {(cell.table, cell.row, cell.column) for cell in cells}
    kept = [cell for cell in before.cells if (cell.table, cell.row, cell.column) not in renewed]
    known = dict(before.versions)
    for each in frozen:
        package = each.get("version") or known.get(each["neighbour"], {}).get("package", "")
        known[each["neighbour"]] = {"package": package, **versions}
    ran = datetime.datetime.now(datetime.UTC).date().isoformat()
    made = Record(ran, {name: known[name] for name in NEIGHBOURS if name in known}, (*kept, *cells))
    write_record(NAME, made)
    PAGE.write_text(page_with(PAGE.read_text(), made))


def page_with(page: str, record: Record) -> str:
    """Return the page with its tables made of the record."""
    return with_generated(page, "what was seen", "\n".join(_parts(record)))


def _parts(record: Record) -> Iterator[str]:
    yield render_versions(record, "program", _PROGRAMS)
    for name in NEIGHBOURS:
        operations = {cell.row: f"`{cell.row}`" for cell in record.cells if cell.table == name}
        if operations:
            yield f"### {name}\n"
            yield render_table(record, name, "operation", operations, _COLUMNS)
    seeds = sorted({cell.column for cell in record.cells if cell.table == WALKS})
    yield "### Random walks\n"
    rows = {name: name for name in NEIGHBOURS}
    yield render_table(record, WALKS, "program", rows, {seed: seed for seed in seeds})
