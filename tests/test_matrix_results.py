"""What a matrix found goes through a file into a table, and a changed table is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig import matrix_results
from tests.rig.matrix_results import (
    Cell,
    Record,
    read_record,
    render_table,
    render_versions,
    with_generated,
    write_record,
)

RECORD = Record(
    "2026-05-03",
    {"26.1": {"docker": "26.1.5"}},
    (
        Cell("ipv6", "bridge", "20.10", "no", "It is not called."),
        Cell("ipv6", "host", "20.10", "no", "It is not called."),
        Cell("ipv6", "bridge", "26.1", "ok"),
        Cell("ipv4", "bridge", "26.1", "ok"),
    ),
)
TABLE = """\
| IPv6 | Docker 20.10 | Docker 26.1 |
| --- | --- | --- |
| default bridge | no (1) | ok |
| host | no (1) |  |

1. It is not called.
"""


def test_a_record_comes_back_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_results, "DATA", tmp_path / "data")
    write_record("made-up", RECORD)
    assert read_record("made-up") == RECORD


def test_the_same_words_are_told_once_below_the_table() -> None:
    rows = {"bridge": "default bridge", "host": "host", "unused": "never tried"}
    columns = {"20.10": "Docker 20.10", "26.1": "Docker 26.1"}
    assert render_table(RECORD, "ipv6", "IPv6", rows, columns) == TABLE


def test_each_row_is_closed_whatever_its_texts_hold() -> None:
    record = Record("2026-05-03", {"a|b": {"docker": "26.1\n| 5"}}, (Cell("t", "r", "c", "ok"),))
    rows = render_table(record, "t", "x|y", {"r": "one\ntwo"}, {"c": "|"}).splitlines()
    assert rows == [r"| x\|y | \| |", "| --- | --- |", "| one two | ok |"]
    assert r"| a\|b | 26.1 \| 5 |" in render_versions(record, "host", ["docker"]).splitlines()


def test_only_the_marked_part_of_a_page_is_written_anew() -> None:
    page = "# Title\n<!-- ipv6 -->\nold\n<!-- end of ipv6 -->\nRest\n"
    written = with_generated(page, "ipv6", TABLE)
    assert written == f"# Title\n<!-- ipv6 -->\n\n{TABLE}\n<!-- end of ipv6 -->\nRest\n"
    assert with_generated(written, "ipv6", TABLE) == written


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(AssertionError, match="no place for ipv6"):
        with_generated("# Title\n", "ipv6", TABLE)
