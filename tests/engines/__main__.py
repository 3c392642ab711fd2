"""`python -m tests.engines`: try the engines, compare with what was recorded, or record it."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from tests.engines.matrix import run_world
from tests.engines.page import COLUMNS, NAME, PAGE, rendered
from tests.rig.docker_host import why_unavailable
from tests.rig.engines import ENGINES
from tests.rig.matrix_results import Cell, Record, read_record, write_record
from tests.rig.namespace import BACKENDS, Backend, CommandError
from tests.rig.trees import TreeError
from tests.rig.trees import why_unavailable as why_no_trees


def main(arguments: list[str]) -> int:
    """Return 0 when all came out as recorded, 1 when something did not, 2 when it cannot be tried here."""
    parser = argparse.ArgumentParser(
        prog="scripts/matrix", description="Try dockerfw with several Docker engines."
    )
    parser.add_argument("--engine", choices=ENGINES, action="append", help="only this one (may be repeated)")
    parser.add_argument(
        "--backend", choices=BACKENDS, action="append", help="only this one (may be repeated)"
    )
    parser.add_argument(
        "--write", action="store_true", help="record what came out, and write docs/engines.md anew"
    )
    options = parser.parse_args(arguments)
    reason = why_unavailable() or why_no_trees()
    if reason:
        print(f"scripts/matrix cannot run here: {reason}.", file=sys.stderr)
        return 2
    wrong = 0
    for engine in options.engine or ENGINES:
        for backend in options.backend or BACKENDS:
            try:
                record = _run(engine, backend)
            except (TreeError, CommandError) as error:
                print(f"FAILED  {engine} {backend}: {error}", file=sys.stderr)
                return 1
            wrong += sum(cell.state == "wrong" for cell in record.cells)
            if options.write:
                _write(record)
            else:
                wrong += _compare(record)
    return 1 if wrong else 0


def _run(engine: str, backend: Backend) -> Record:
    versions, cells = {}, []
    for own_ipv6 in (False, True):
        versions[engine], more = run_world(ENGINES[engine], backend, own_ipv6=own_ipv6, say=_say)
        cells += more
    return Record(datetime.now(UTC).date().isoformat(), versions, tuple(cells))


def _compare(record: Record) -> int:
    """Say what came out otherwise than it is recorded, and return how many cells that are."""
    changed = sorted(set(record.cells) - set(read_record(NAME).cells), key=str)
    for cell in changed:
        print(f"not as recorded: {cell}", file=sys.stderr)
    return len(changed)


def _write(record: Record) -> None:
    write_record(NAME, _merged(record))
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def _say(cell: Cell, problems: tuple[str, ...]) -> None:
    print(f"{cell.state:5}  {cell.column:12}  {cell.table:5}  {cell.row:12}  {cell.why}", flush=True)
    for problem in problems:
        print(f"       {problem}", flush=True)


def _merged(record: Record) -> Record:
    """Keep what was recorded of the columns that were not tried this time, all in the order of the tables."""
    try:
        former = read_record(NAME)
    except FileNotFoundError:
        former = Record(record.ran, {}, ())
    columns = list(COLUMNS)
    tried = {cell.column for cell in record.cells}
    cells = [*(cell for cell in former.cells if cell.column not in tried), *record.cells]
    versions = {**former.versions, **record.versions}
    return Record(
        record.ran,
        {engine: versions[engine] for engine in ENGINES if engine in versions},
        tuple(sorted(cells, key=lambda cell: columns.index(cell.column))),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
