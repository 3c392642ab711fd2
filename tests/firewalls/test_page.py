"""The tables of docs/firewalls.md are those of the recorded run, which covered all and was never wrong."""

from __future__ import annotations

from tests.firewalls.neighbours import NEIGHBOURS
from tests.firewalls.record import NAME, PAGE, WALKS, page_with
from tests.rig.matrix_results import read_record


def test_the_page_is_what_was_recorded() -> None:
    page = PAGE.read_text()
    assert page_with(page, read_record(NAME)) == page


def test_all_of_them_were_seen_and_nothing_was_wrong() -> None:
    cells = read_record(NAME).cells
    assert {cell.table for cell in cells} == {*NEIGHBOURS, WALKS}
    assert {cell.row for cell in cells if cell.table == WALKS} == set(NEIGHBOURS)
    assert [cell for cell in cells if cell.state == "wrong"] == []
