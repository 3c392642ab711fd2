"""Store samples of a host over time, in all steps at once, and remove old ones.

The counters that were read are stored in the same transaction as the samples that they led to. So each look
counts once, whatever ends in between and however many clerks there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from rules.models import Host, Sample, SampleReading, SampleSeries
from rules.overview.sample_counts import Amount, Gathered, Interval, SampleKey, counted_between
from rules.overview.sample_names import KEPT, MOST_RULES, RULES_COUNTED

Kind = SampleReading.Kind

EVERY: Final[Mapping[Kind, timedelta]] = {
    Kind.HOST: timedelta(seconds=50),
    Kind.RULES: timedelta(minutes=14, seconds=30),
}
"""Looks that come sooner are not recorded. A page has the host read every few seconds."""

MOST_SERIES: Final = 20_000
_AHEAD: Final = timedelta(seconds=15)
_CHUNK: Final = 5_000
_BATCH: Final = 500
_NEVER: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a host tells: counters and other numbers, by the name of their series.

    `mark` names the lines that counted. It is empty if the counters could not be read.
    """

    at: datetime
    mark: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)


def samples_store(*, host: Host, kind: Kind, reading: Reading, now: datetime | None = None) -> bool:
    """Store what happened since the look before; return False if it is too soon. Raises DatabaseError."""
    now = now or timezone.now()
    before, _ = SampleReading.objects.get_or_create(host=host, kind=kind, defaults={"at": _NEVER})
    if not _is_due(before, reading, now):
        return False
    with transaction.atomic():
        before = SampleReading.objects.select_for_update().get(pk=before.pk)
        if not _is_due(before, reading, now):
            # Another clerk was faster.
            return False
        _write(host, gather_samples(before, reading))
        before.at, before.mark, before.counts = reading.at, reading.mark, dict(reading.counts)
        before.save()
    return True


def samples_due(*, host: Host, kind: Kind, at: datetime) -> bool:
    """Return True if a look at this moment would be recorded."""
    before = SampleReading.objects.filter(host=host, kind=kind).first()
    return before is None or _is_due(before, Reading(at), timezone.now())


def samples_expire(*, now: datetime | None = None) -> int:
    """Remove samples that are no longer kept, and series without any; return how many samples.

    Each part is a short transaction, so that others can write in between. Raises DatabaseError.
    """
    today, removed = now or timezone.now(), 0
    for step, kept in KEPT.items():
        old = Sample.objects.filter(step=step, at__lt=int((today - kept).timestamp()))
        while keys := list(old.values_list("pk", flat=True)[:_CHUNK]):
            removed += Sample.objects.filter(pk__in=keys).delete()[0]
    idle = SampleSeries.objects.filter(
        ~Exists(Sample.objects.filter(series=OuterRef("pk"))),
        since__lt=int((today - timedelta(days=1)).timestamp()),
    )
    SampleSeries.objects.filter(pk__in=list(idle.values_list("pk", flat=True)[:_CHUNK])).delete()
    return removed


def _is_due(before: SampleReading, reading: Reading, now: datetime) -> bool:
    if reading.at > now + _AHEAD:
        return False
    # A moment that is still to come is from before the clock was set back.
    return before.at > now + _AHEAD or reading.at >= before.at + EVERY[Kind(before.kind)]


def gather_samples(before: SampleReading, reading: Reading) -> Gathered:
    """Return the samples that two looks lead to: counts between them, and levels at the later one."""
    found = Gathered(Interval(before.at.timestamp(), reading.at.timestamp()))
    for name, value in reading.levels.items():
        found.add_level(name, value)
    if not reading.mark or reading.mark != before.mark:
        return found
    # Rules without a hit are left out.
    counted = {
        name: counted_between(before.counts.get(name, 0), reading.counts.get(name, 0), found.interval.length)
        for name in before.counts.keys() | reading.counts.keys()
    }
    known = {name: count for name, count in counted.items() if count is not None}
    if before.kind == Kind.RULES:
        moved = sorted((name for name in known if known[name]), key=lambda name: known[name], reverse=True)
        if len(known) == len(counted) and len(moved) <= MOST_RULES:
            found.add_count(RULES_COUNTED, 0)
        known = {name: known[name] for name in moved[:MOST_RULES]}
    for name, count in known.items():
        found.add_count(name, count)
    return found


def _write(host: Host, gathered: Gathered) -> None:
    series = _series(host, gathered)
    samples = {key: amount for key, amount in gathered.samples.items() if key[0] in series}
    for (name, step, at), stored in _stored(series, samples).items():
        samples[name, step, at] = stored.joined_with(samples[name, step, at], name)
    Sample.objects.bulk_create(
        (
            Sample(series_id=series[name], step=step, at=at, value=amount.value, seconds=amount.seconds)
            for (name, step, at), amount in samples.items()
        ),
        batch_size=_BATCH,
        update_conflicts=True,
        unique_fields=["series", "step", "at"],
        update_fields=["value", "seconds"],
    )


def _series(host: Host, gathered: Gathered) -> dict[str, int]:
    """Return the keys of the series by name, after making those that are new."""
    names = {name for name, _, _ in gathered.samples}
    rows: QuerySet[SampleSeries] = SampleSeries.objects.filter(host=host, name__in=names)
    known = {each.name: each.pk for each in rows}
    new = sorted(names - known.keys())
    if new:
        room = max(0, MOST_SERIES - SampleSeries.objects.filter(host=host).count())
        SampleSeries.objects.bulk_create(
            (SampleSeries(host=host, name=name, since=gathered.since) for name in new[:room]),
            batch_size=_BATCH,
            ignore_conflicts=True,
        )
        known = {each.name: each.pk for each in rows.all()}
    return known


def _stored(series: Mapping[str, int], samples: Mapping[SampleKey, Amount]) -> dict[SampleKey, Amount]:
    """Return the samples that are stored already of these."""
    begins: dict[int, set[int]] = {}
    for _, step, at in samples:
        begins.setdefault(step, set()).add(at)
    if not begins:
        return {}
    wanted = reduce(or_, (Q(step=step, at__in=sorted(times)) for step, times in begins.items()))
    names = {key: name for name, key in series.items()}
    rows = Sample.objects.filter(wanted, series__in=names)
    found = {
        (names[row.series_id], row.step, row.at): Amount(row.value, row.seconds) for row in rows.iterator()
    }
    return {key: amount for key, amount in found.items() if key in samples}
