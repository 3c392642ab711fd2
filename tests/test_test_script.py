"""`scripts/test` without arguments: what it runs a second time, what it says then, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.page_content import ROOT
from tests.rig.run_status import MORE_THAN_TESTS

# Stands for Python: a run of pytest notes its arguments, and fails and ends as the next line of `runs` says.
PYTHON = f"""#!/bin/bash
[ "$1" = -m ] || exec {sys.executable} "$@"
echo "${{@:3}}" >>asked
read -r status failures <runs && sed -i 1d runs
mkdir -p .pytest_cache/v/cache
echo "$failures" >.pytest_cache/v/cache/lastfailed
echo "== run"
exit "$status"
"""
SHARED = "--numprocesses=6 --dist=loadscope --no-loadscope-reorder"
ALONE = "--last-failed --last-failed-no-failures=none"


def run(tree: Path, *runs: tuple[int, list[str]]) -> tuple[int, list[str], list[str]]:
    """Return the status, the lines and the runs of pytest where those end like this."""
    (tree / "scripts").mkdir()
    (tree / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/test", tree / "scripts/test")
    for name, text in (("scripts/setup", ""), ("scripts/copy", ""), (".venv/bin/python", PYTHON)):
        (tree / name).write_text(text or "#!/bin/sh\n")
        (tree / name).chmod(0o755)
    # As in a clone whose tests were compiled before.
    (tree / "tests").mkdir()
    (tree / "tests/test_a.cpython-311-pytest-9.pyc").touch()
    lines = (f"{status} {json.dumps(dict.fromkeys(failed, True))}\n" for status, failed in runs)
    (tree / "runs").write_text("".join(lines))
    done = subprocess.run([tree / "scripts/test"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines(), (tree / "asked").read_text().splitlines()


@pytest.mark.parametrize("status", [0, 2, 3, MORE_THAN_TESTS])
def test_nothing_runs_twice_unless_tests_and_only_tests_failed(tmp_path: Path, status: int) -> None:
    assert run(tmp_path, (status, ["a.py::one"])) == (status, ["== run"], [SHARED])


def test_many_failures_are_no_chance(tmp_path: Path) -> None:
    failed = [f"a.py::test_{number}" for number in range(21)]
    assert run(tmp_path, (1, failed)) == (1, ["== run"], [SHARED])


def test_failures_that_pass_alone_are_named_last_and_the_run_passes(tmp_path: Path) -> None:
    status, lines, asked = run(tmp_path, (1, ["b.py::two", "a.py::one[x y]"]), (0, []))
    assert (status, asked) == (0, [SHARED, ALONE])
    assert lines == [*["== run"] * 2, "passed only alone: a.py::one[x y]", "passed only alone: b.py::two"]


def test_failures_that_stay_fail_the_run(tmp_path: Path) -> None:
    status, lines, asked = run(tmp_path, (1, ["a.py::one", "b.py::two"]), (1, ["b.py::two"]))
    assert (status, asked) == (1, [SHARED, ALONE])
    assert lines == [*["== run"] * 2, "passed only alone: a.py::one"]


FAILS = "def test_fails(): assert False\n"


@pytest.mark.parametrize(
    ("more", "ci", "status"),
    [
        ("", "true", 1),
        ("import pytest\ndef test_skips(): pytest.skip('no Docker')\n", "", 1),
        ("import pytest\ndef test_skips(): pytest.skip('no Docker')\n", "true", MORE_THAN_TESTS),
        ("import nonesuch\n", "", MORE_THAN_TESTS),
        ("import os\ndef test_crashes(): os._exit(1)\n", "", MORE_THAN_TESTS),
    ],
    ids=["failed", "left out", "left out in CI", "not collected", "crashed"],
)
def test_status_1_says_that_tests_failed_and_nothing_else(
    tmp_path: Path, more: str, ci: str, status: int
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_fails.py").write_text(FAILS)
    (tmp_path / "test_more.py").write_text(more)
    plugins = ["-p", "xdist", "-p", "tests.rig.run_status"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--numprocesses=1", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout
