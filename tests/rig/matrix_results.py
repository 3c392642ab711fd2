"""The results of a matrix as JSON, and the tables in the documentation that are made from them.

Nothing here runs a test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

DATA = Path(__file__).resolve().parents[2] / "docs" / "data"
# "ok": as it should be. "no": it cannot work, and dockerfw says so. "wrong": neither, so a defect.
State = Literal["ok", "no", "wrong"]
STATES: tuple[State, ...] = ("ok", "no", "wrong")


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that was tried: its place in the tables, what came out, and, unless ok, the words for it."""

    table: str
    row: str
    column: str
    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """All that one run found: its day, what the programs said of themselves, and the cells."""

    ran: str
    versions: Mapping[str, Mapping[str, str]]
    cells: tuple[Cell, ...]

    def table(self, name: str) -> Table:
        """Return the cells of one table by row and column."""
        return {(cell.row, cell.column): cell for cell in self.cells if cell.table == name}


Table = Mapping[tuple[str, str], Cell]


def write_record(name: str, record: Record) -> Path:
    """Write docs/data/NAME.json and return its path."""
    DATA.mkdir(exist_ok=True)
    path = DATA / f"{name}.json"
    path.write_text(json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_record(name: str) -> Record:
    """Read docs/data/NAME.json."""
    value = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    cells = tuple(Cell(**cell) for cell in value["cells"])
    assert all(cell.state in STATES for cell in cells)
    return Record(value["ran"], value["versions"], cells)


def render_table(
    record: Record, name: str, corner: str, rows: Mapping[str, str], columns: Mapping[str, str]
) -> str:
    """Return a table as Markdown, with what is not ok in numbered words below; keys lead to headings.

    A cell that the record lacks was not tried and stays empty.
    """
    cells = record.table(name)
    shown = [row for row in rows if any((row, column) in cells for column in columns)]
    words = list(dict.fromkeys(cell.why for row in shown for cell in _row(cells, row, columns) if cell.why))
    lines = [_line([corner, *columns.values()]), _line(["---"] * (len(columns) + 1))]
    lines += [
        _line([rows[row], *(_shown(cells.get((row, column)), words) for column in columns)]) for row in shown
    ]
    notes = [f"{number}. {why}" for number, why in enumerate(words, 1)]
    return "\n".join([*lines, *(["", *notes] if notes else []), ""])


def render_versions(record: Record, corner: str, programs: Sequence[str]) -> str:
    """Return a table of what was run: a line a thing that was tried, a column a program."""
    lines = [_line([corner, *programs]), _line(["---"] * (len(programs) + 1))]
    for name, found in record.versions.items():
        lines.append(_line([name, *(found.get(program, "") for program in programs)]))
    return "\n".join([*lines, ""])


def with_generated(page: str, name: str, text: str) -> str:
    """Return a page with the text put between `<!-- NAME -->` and `<!-- end of NAME -->`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    assert len(pattern.findall(page)) == 1, f"the page has no place for {name}"
    return pattern.sub(lambda _: f"{begin}\n{text}\n{end}", page)


def _row(cells: Table, row: str, columns: Mapping[str, str]) -> list[Cell]:
    return [cells[row, column] for column in columns if (row, column) in cells]


def _shown(cell: Cell | None, words: Sequence[str]) -> str:
    if cell is None:
        return ""
    note = f" ({words.index(cell.why) + 1})" if cell.why else ""
    return cast(str, cell.state) + note


def _line(fields: Sequence[str]) -> str:
    """Write a row; what would end a cell or the row inside of one is escaped."""
    cells = (" ".join(field.split()).replace("|", "\\|") for field in fields)
    return f"| {' | '.join(cells)} |"
