"""`python -m scripts.benchmarks.samples_process DAYS RULES`: fill a database with samples, and time its use.

It prints one JSON object: seconds by what was timed, the number of samples and the bytes of the database.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from time import perf_counter

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "dockerfw_site.settings"
django.setup()

from django.conf import settings  # noqa: E402 - Django has to know its settings first
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from rules.models import Host, Sample, SampleSeries  # noqa: E402
from rules.overview.sample_names import KEPT, RULES_COUNTED, rule_series, steps_of  # noqa: E402
from rules.overview.sample_selectors import series  # noqa: E402
from rules.overview.sample_services import Kind, Reading, samples_store  # noqa: E402
from scripts.benchmarks.measure import best_of  # noqa: E402

HOST_SERIES = (
    *("refused", "accepted", "unprotected", "drift", "open_ports", "unknown_ports"),
    *("pending", "checks_failing", "conntrack", "conntrack_max", "sessions"),
)
BUSY_RULES = 10
ROUNDS = 5
_INSERT = "INSERT INTO rules_sample (series_id, step, at, value, seconds) VALUES (%s, %s, %s, %s, %s)"


def main() -> int:
    """Fill, measure and print."""
    days, rules = map(int, sys.argv[1:])
    call_command("migrate", verbosity=0)
    host, now = Host.objects.create(name="bench"), timezone.now()
    names = [*HOST_SERIES, RULES_COUNTED, *(rule_series(f"r{each:05}") for each in range(BUSY_RULES))]
    since = int((now - timedelta(days=days)).timestamp())
    SampleSeries.objects.bulk_create(SampleSeries(host=host, name=name, since=since) for name in names)
    with transaction.atomic(), connection.cursor() as cursor:
        for one in SampleSeries.objects.all():
            # Rows by the ORM take minutes.
            cursor.executemany(_INSERT, list(_samples(one, days, now)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (Path(settings.ENVIRONMENT.data_dir) / "dockerfw.sqlite3").stat().st_size
    turns, quarters = count(1), count(1)

    def minute() -> None:
        at = now + timedelta(minutes=next(turns))
        counts = {"refused": at.minute * 7, "accepted": at.minute * 9}
        levels = dict.fromkeys(HOST_SERIES[2:], 3.0)
        samples_store(host=host, kind=Kind.HOST, reading=Reading(at, "r1", counts, levels), now=at)

    def all_rules() -> None:
        turn = next(quarters)
        at = now + timedelta(minutes=15 * turn)
        counts = {rule_series(f"r{each:05}"): turn * (each < BUSY_RULES) + 1 for each in range(rules)}
        samples_store(host=host, kind=Kind.RULES, reading=Reading(at, "r1", counts), now=at)

    def read(length: timedelta) -> None:
        series(host, "refused", since=now - length, until=now)

    calls = (minute, all_rules, lambda: read(timedelta(days=1)), lambda: read(KEPT[86_400]))
    figures = dict(
        zip(
            ("minute", "rules", "day", "years"),
            best_of(calls, rounds=ROUNDS, clock=perf_counter),
            strict=True,
        )
    )
    print(json.dumps({**figures, "samples": Sample.objects.count(), "bytes": size}))
    return 0


def _samples(one: SampleSeries, days: int, now: datetime) -> Iterator[tuple[int, ...]]:
    for step in steps_of(one.name):
        last = int(now.timestamp()) // step * step
        first = max(last - int(KEPT[step].total_seconds()), last - days * 86_400)
        for at in range(first, last, step):
            yield one.pk, step, at, at % 997, step


if __name__ == "__main__":
    sys.exit(main())
