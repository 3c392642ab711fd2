"""docs/engines.md says what was recorded, of every engine, backend and way."""

from __future__ import annotations

from itertools import product

from tests.engines.cells import PACKETS, STATES
from tests.engines.matrix import LIFE
from tests.engines.page import COLUMNS, NAME, PAGE, TITLES, rendered
from tests.rig.matrix_results import read_record
from tests.rig.messages import is_said, product_messages


def test_the_page_is_what_was_recorded() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page


def test_everything_was_tried() -> None:
    rows = [(key, row.ways) for key, row in (*PACKETS.items(), *STATES.items())]
    wanted = {(way, key, column) for key, ways in rows for way, column in product(ways, COLUMNS)}
    wanted |= {(way, LIFE, column) for way, column in product(TITLES, COLUMNS)}
    cells = read_record(NAME).cells
    assert {(cell.table, cell.row, cell.column) for cell in cells} == wanted
    assert len(cells) == len(wanted)


def test_what_cannot_work_is_said_in_the_product_s_words() -> None:
    cells = [cell for cell in read_record(NAME).cells if cell.state != "ok"]
    assert cells
    assert {cell.state for cell in cells} == {"no"}
    messages = product_messages()
    # Without the family before the colon.
    assert [cell for cell in cells if not is_said(cell.why.partition(": ")[2], messages)] == []


def test_over_ipv4_and_with_a_proxy_everything_works() -> None:
    cells = read_record(NAME).cells
    assert [cell for cell in cells if cell.table != "own" and cell.state != "ok"] == []
