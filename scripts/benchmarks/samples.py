"""What samples over time cost to store and to read, with a day of them and with three years.

Each database is a file of its own, filled by a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.benchmarks.measure import Row, milliseconds

RULES = 10_000
_ROOT = Path(__file__).resolve().parents[2]
_WORDS = {
    "minute": "storing the sample of a minute",
    "rules": "storing the hits of all rules, every 15 minutes",
    "day": "reading a series, 24 hours",
    "years": "reading a series, 3 years",
}
_DAYS = (1, 3 * 365)


def measure_samples(most: int) -> list[Row]:
    """Measure a host with three years of samples beside one with a day, with up to `most` rules."""
    rules = min(RULES, most)
    young, old = (_measure(days, rules) for days in _DAYS)
    rows = [
        milliseconds(words, rules, old[name], young[name], aim="hardly grows with the years")
        for name, words in _WORDS.items()
    ]
    samples = int(old["samples"])
    return [*rows, Row("the database, 3 years of samples", samples, old["bytes"] / 1024**2, "MiB")]


def _measure(days: int, rules: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "DOCKERFW_DATA_DIR": folder, "DATABASE_URL": ""}
        command = (sys.executable, "-m", "scripts.benchmarks.samples_process", str(days), str(rules))
        done = subprocess.run(command, cwd=_ROOT, env=environ, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found
