"""`scripts/bench`: its figures as JSON, its errors of use, and how pairs are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmarks import measure
from scripts.benchmarks.measure import Row, exponent, in_turn, milliseconds, paired_ratio, print_rows, up_to
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
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)
    keys = ["what", "size", "value", "unit", "floor", "ratio", "aim"]
    assert [list(row) for row in rows] == [keys] * len(rows)
    assert [row for row in rows if not (row["value"] > 0 and row["floor"] > 0 and row["ratio"] > 0)] == []
    assert {(row["what"], row["aim"]) for row in rows} == {
        (f"{what}, {place}{form}", aim)
        for what in ("new connections", "refused attempts")
        for place in ("a port of the host", "a published port")
        for form, aim in (("", "at least 0.9 x"), (", as lines", None))
    }


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
    cells = ("load", "10,000", "3 s", "500 ms", "2,000 ms", "0.25 x", "1.10", "at most 0.33 x")
    assert row.cells("3 s", 1.1) == cells
    assert Row("failed", 10, 0, "", aim="0").cells() == ("failed", "10", "", "0", "", "", "", "0")


def test_a_table_has_the_documented_figures_before_and_the_growth(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "page.md").write_text(
        "| load | 10 | 9 ms | 8 ms | | | | |\n| load | 1,000 | 7 ms | 6 ms | | | | |\n| load | 10 | no |\n"
    )
    monkeypatch.setattr(measure, "DOCUMENTED", tmp_path / "page.md")
    print_rows("loading", [milliseconds("load", size, size / 1_000) for size in (10, 1_000)])
    lines = [line.replace(" ", "") for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == ["|load|10|9ms|10ms|||||", "|load|1,000|7ms|1,000ms|||1.00||"]
