"""Samples of a host over time, as the clerk stores them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from rules.models import Host, Sample, SampleSeries
from rules.overview.sample_names import MINUTE


def minutes_store(
    host: Host, name: str, values: Iterable[float | None], *, until: datetime | None = None
) -> None:
    """Store a sample a minute, the last one for the minute before `until` (now); None leaves one out."""
    values = tuple(values)
    end = int((until or timezone.now()).timestamp()) // MINUTE * MINUTE
    begin = end - len(values) * MINUTE
    made, _ = SampleSeries.objects.get_or_create(host=host, name=name, defaults={"since": begin})
    Sample.objects.bulk_create(
        Sample(series=made, step=MINUTE, at=begin + number * MINUTE, value=value, seconds=MINUTE)
        for number, value in enumerate(values)
        if value is not None
    )


def minutes_ago(minutes: float) -> datetime:
    """Return the moment that many minutes before now."""
    return timezone.now() - timedelta(minutes=minutes)
