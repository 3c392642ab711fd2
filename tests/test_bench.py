"""`scripts/bench`: its figures as JSON, its errors of use, and how pairs are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfw.document.document import digest
from rules.applying.history_selectors import history_page
from rules.audit.actors import Actor
from rules.draft.draft_selectors import revision_document
from rules.models import AuditEvent, Host, Revision
from scripts.benchmarks import __main__ as command
from scripts.benchmarks import fill, measure
from scripts.benchmarks.measure import (
    Row,
    exponent,
    fill_tables,
    in_turn,
    milliseconds,
    paired_ratio,
    print_rows,
    show_tables,
    up_to,
)
from tests.rig.confirmed import confirm
from tests.rig.namespace import why_unavailable
from tests.rig.page_content import ROOT


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the measurements as the script does after its set-up."""
    words = [sys.executable, "-m", "scripts.benchmarks", *arguments]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can join namespaces")
@pytest.mark.skipif(bool(why_unavailable()), reason="no network namespace can be made")
def test_figures_of_packets_as_json() -> None:
    done = bench("--json", "--most", "0", "packets")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    keys = ["what", "size", "value", "unit", "floor", "ratio", "aim", "error"]
    assert [list(row) for row in rows] == [keys] * len(rows)
    assert [row for row in rows if not (row["value"] > 0 and row["floor"] > 0 and row["ratio"] > 0)] == []
    assert {(row["what"], row["aim"]) for row in rows} == {
        (f"{what}, {place}{form}", aim)
        for what in ("new connections", "refused attempts")
        for place in ("a port of the host", "a published port")
        for form, aim in (("", "at least 0.9 x"), (", as lines", None))
    }


@pytest.mark.kernel
@pytest.mark.skipif(bool(why_unavailable()), reason="no network namespace can be made")
def test_rows_of_one_part_have_null_where_there_is_no_floor_and_no_aim() -> None:
    done = bench("--json", "--most", "100", "parse")
    assert done.returncode == 0, done.stderr
    rows = {row.pop("what"): row for row in json.loads(done.stdout)}
    assert rows["print an iptables-save"] == {
        "size": 100,
        "value": pytest.approx(rows["print an iptables-save"]["value"]),
        "unit": "ms",
        "floor": None,
        "ratio": None,
        "aim": None,
        "error": None,
    }
    restore = rows["parse a restore file, beside a plain split"]
    assert restore["ratio"] == pytest.approx(restore["value"] / restore["floor"])
    assert restore["aim"] == "at most 5 x"


def test_every_part_is_documented() -> None:
    section = (ROOT / "docs" / "reference.md").read_text().split("### scripts/bench\n")[1].split("\n### ")[0]
    listed = section.split("any of ")[1].split(";")[0]
    assert listed == ", ".join(f"`{part}`" for part in command.PARTS)
    assert [word.strip("`") for word in section.split("On demand alone: ")[1].split(".")[0].split(", ")] == [
        part for part in command.PARTS if part in command.ON_DEMAND
    ]


@pytest.mark.django_db
def test_the_history_that_is_filled_in_is_one_that_pages_can_read(host: Host, alice: Actor) -> None:
    confirm(host, alice)
    fill.add_revisions(host, 30, 10)
    newest = Revision.objects.filter(host=host).latest("number")
    assert newest.number == 31
    assert newest.parent is not None
    assert newest.digest == digest(revision_document(newest))
    page = history_page(host)
    assert (page.total, page.entries[0].state) == (31, "confirmed")
    assert page.entries[0].sentence == page.entries[1].sentence


@pytest.mark.django_db
def test_the_database_copies_events_above_a_number(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = AuditEvent.objects.count()
    monkeypatch.setattr(fill, "AT_ONCE", 10)
    fill.add_events(host, 25)
    added = AuditEvent.objects.order_by("pk")[before:]
    assert [event.target for event in added] == [
        f"r{number:05d}" for number in (*range(10), *range(10), *range(5))
    ]
    assert {(event.host, event.before is None) for event in added} == {(host, False)}


def test_what_is_larger_than_asked_for_is_left_out() -> None:
    done = bench("--json", "--most", "9", "small", "lists")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert up_to(1_000, (10, 1_000, 10_000)) == [10, 1_000]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--most", "ten"), "argument --most: 'ten' is no number of rules."),
        (("--most", "-1"), "argument --most: '-1' is no number of rules."),
        (("parse", "speed"), "there is no part speed, only parse, plan,"),
        (("--xml",), "unrecognized arguments: --xml."),
    ],
)
def test_an_error_of_use_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"scripts/bench: {said}")
    assert done.stderr.count("\n") == 1


def test_pairs_are_measured_forwards_and_backwards_and_noise_of_both_cancels() -> None:
    order: list[str] = []
    # The machine gets busier with each round, by a factor that both calls feel.
    busy: Iterator[float] = iter([1.0, 1.0, 7.0, 7.0, 2.0, 2.0])

    def call(name: str, seconds: float) -> float:
        order.append(name)
        return seconds * next(busy)

    rounds = in_turn([lambda: call("floor", 9.0), lambda: call("ours", 10.0)], rounds=3)
    assert order == ["floor", "ours", "ours", "floor", "floor", "ours"]
    assert rounds == [(9.0, 10.0), (63.0, 70.0), (18.0, 20.0)]
    assert paired_ratio(rounds, 0, 1) == pytest.approx(0.9)


def test_the_exponent_tells_growth_apart_from_none() -> None:
    assert exponent({0: 1.0, 10: 2.0, 1_000: 200.0}) == pytest.approx(1.0)
    assert exponent({0: 1.0, 10: 2.0, 1_000: 2.0}) == pytest.approx(0.0)


def test_a_row_as_a_table_shows_it() -> None:
    row = milliseconds("load", 10_000, 0.5, 2.0, aim="at most 0.33 x")
    cells = ("load", "10,000", "3 s", "500 ms", "2,000 ms", "0.25 x", "1.10", "at most 0.33 x", "met")
    assert row.cells("3 s", 1.1) == cells
    assert Row("lost", 10, 0, "", aim="0").cells() == ("lost", "10", "", "0", "", "", "", "0", "met")
    assert Row("save", 10, 1, "ms").cells(growth=-0.001)[6] == "0.00"
    # A rate has no blank, as the documentation writes it.
    assert Row("packets", 10, 18_246, "/s", 20_000).cells()[3:5] == ("18,246/s", "20,000/s")
    failed = Row("audit", 0, None, "", error="OSError: a | b\nc")
    assert failed.cells() == ("audit", "0", "", "OSError: a / b c", "", "", "", "", "failed")


@pytest.mark.parametrize(
    ("value", "ratio", "unit", "aim", "result"),
    [
        (100.0, None, "ms", "at most 100 ms", "met"),
        (100.1, 0.5, "ms", "at most 100 ms", "missed"),
        (100.0, None, "ms", "under 100 ms", "missed"),
        (1_000.0, None, "ms", "at most 1,000 ms", "met"),
        (9.0, 0.91, "/s", "at least 0.9 x", "met"),
        (9.0, 0.89, "/s", "at least 0.9 x", "missed"),
        (9.0, None, "/s", "at least 0.9 x", ""),
        (16.0, None, "", "at most 15", "missed"),
        (1.0, None, "s", "at most 100 ms", ""),
        (1.0, None, "ms", "deliver first", ""),
        (1.0, None, "ms", None, ""),
    ],
)
def test_a_figure_meets_its_aim_or_misses_it(
    value: float, ratio: float | None, unit: str, aim: str | None, result: str
) -> None:
    assert Row("load", 10, value, unit, 1.0, ratio, aim).result == result


PAGE = """# Figures

| what | size | before | now | floor | ratio | growth | aim | result |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| load | 1,000 | 7 ms | 6 ms | | | | at most 9 ms | met |
| save | 10 | 9 ms | 8 ms | | | | at most 9 ms | met |

| page | server at 1,000 | HTML at 10 |
| --- | --- | --- |
| rules | 12 ms | 13 kB |

| load | 10 | another table |
"""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    monkeypatch.setattr(measure, "DOCUMENTED", path)
    return path


def loads(aim: str | None = None) -> list[Row]:
    return [milliseconds("load", size, size / 1_000, aim=aim) for size in (10, 1_000)]


@pytest.mark.usefixtures("page")
def test_a_table_has_the_documented_figures_before_and_the_growth(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("loading", loads())
    lines = [line.replace(" ", "") for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == ["|load|10||10ms||||||", "|load|1,000|7ms|1,000ms|||1.00|||"]


def test_the_figures_of_a_run_stand_in_the_tables_of_the_page() -> None:
    rows = [*loads("at most 9 ms"), milliseconds("rules: server", 1_000, 0.05)]
    filled = PAGE.replace(
        "| load | 1,000 | 7 ms | 6 ms | | | | at most 9 ms | met |",
        "| load | 1,000 | 7 ms | 1,000 ms | | | 1.00 | at most 9 ms | missed |",
    ).replace("| rules | 12 ms | 13 kB |", "| rules | 50 ms | 13 kB |")
    assert fill_tables(PAGE, rows, keep=True) == filled
    emptied = filled.replace(
        "9 ms | 8 ms | | | | at most 9 ms | met |", "9 ms | | | | | at most 9 ms | not measured |"
    )
    assert fill_tables(PAGE, rows, keep=False) == emptied.replace("50 ms | 13 kB |", "50 ms | |")


def test_only_the_tables_that_are_filled_are_shown() -> None:
    assert show_tables(PAGE) == "\n\n".join(PAGE.split("\n\n")[1:3])


def test_a_part_that_fails_is_a_row_and_the_next_part_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(most: int) -> Iterator[Row]:
        yield milliseconds("load", most, 1.0)
        raise OSError("full")

    monkeypatch.setattr(command, "PARTS", {"one": fail, "two": lambda _: loads()})
    rows = command.measure(["one", "two"], 7, as_json=True)
    assert rows == [
        milliseconds("load", 7, 1.0),
        Row("one", 0, None, "", error="OSError: full"),
        *loads(),
    ]
    said = capsys.readouterr()
    assert said.out == ""
    assert "one, 0 s: load, 7: 1,000 ms\n" in said.err
