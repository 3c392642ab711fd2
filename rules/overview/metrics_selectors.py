"""The figures for Prometheus, made for each request from what the clerk recorded last.

Nothing is simulated or parsed here, and no process remembers anything, so a scrape costs the same with any
number of rules. What is not known has no sample in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dockerfw.version import VERSION
from rules.draft.draft_selectors import revision_document
from rules.models import Host, ProcessNote, Sample, SampleReading
from rules.overview.sample_names import (
    ACCEPTED,
    CHECKS_FAILING,
    CONNTRACK,
    CONNTRACK_MOST,
    DRIFT,
    MINUTE,
    MOST_RULES,
    MOST_SETS,
    OPEN_PORTS,
    PENDING,
    QUARTER,
    REFUSED,
    RULE_PREFIX,
    SESSIONS,
    SET_PREFIX,
    UNKNOWN_PORTS,
    UNPROTECTED,
)

_RECENT: Final = timedelta(minutes=5)
_RECENT_SETS: Final = timedelta(minutes=35)

_GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    DRIFT: ("dockerfw_drift", "1 if the kernel differs from the confirmed revision."),
    OPEN_PORTS: ("dockerfw_open_ports", "Listeners and published ports that anyone can reach."),
    UNKNOWN_PORTS: ("dockerfw_unknown_ports", "Ports of which it is not known who can reach them."),
    PENDING: ("dockerfw_pending_changes", "Changes of the draft that are not applied."),
    CHECKS_FAILING: ("dockerfw_failing_checks", "Expectations that the rules in the kernel do not meet."),
    CONNTRACK: ("dockerfw_conntrack_entries", "Connections that the kernel tracks."),
    CONNTRACK_MOST: ("dockerfw_conntrack_limit", "Connections that the kernel can track."),
    SESSIONS: ("dockerfw_sessions", "Open connections from outside."),
}
_COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    REFUSED: ("dockerfw_refused_packets", "Packets that dockerfw's rules refused."),
    ACCEPTED: ("dockerfw_accepted_connections", "New connections that a rule let through."),
}


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What was recorded last of one host: the time of the last look, and what is still current."""

    host: Host
    looks: list[datetime] = field(default_factory=list)
    readings: dict[str, SampleReading] = field(default_factory=dict)
    levels: dict[str, float] = field(default_factory=dict)


class _Figures(Collector):
    """The figures of all hosts at one moment."""

    def __init__(self, hosts: Iterable[_Recorded], now: datetime) -> None:
        self._hosts = tuple(hosts)
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield each figure with its samples by host."""
        info = GaugeMetricFamily("dockerfw_build_info", "The version of the dashboard.", labels=["version"])
        info.add_metric([VERSION], 1)
        yield info
        yield from self._clerk()
        yield self._gauge(
            "dockerfw_sample_timestamp_seconds",
            "When the root worker took the last look that was recorded.",
            lambda one: max(one.looks).timestamp() if one.looks else None,
        )
        yield self._gauge(
            "dockerfw_protected",
            "1 if dockerfw says that the host is protected.",
            lambda one: None if (found := one.levels.get(UNPROTECTED)) is None else 1 - found,
        )
        yield self._gauge(
            "dockerfw_revision",
            "The number of the confirmed revision.",
            lambda one: found.number if (found := one.host.confirmed_revision) else None,
        )
        yield self._gauge(
            "dockerfw_next_expiry_timestamp_seconds",
            "When the next rule of the confirmed revision ends.",
            self._next_expiry,
        )
        for name, (metric, words) in _GAUGES.items():
            yield self._gauge(metric, words, lambda one, name=name: one.levels.get(name))  # type: ignore[misc]
        for name, (metric, words) in _COUNTERS.items():
            yield self._counter(metric, words, name)
        yield self._rules()
        yield self._sets()

    def _gauge(self, metric: str, words: str, value: Callable[[_Recorded], float | None]) -> Metric:
        family = GaugeMetricFamily(metric, words, labels=["host"])
        for one in self._hosts:
            if (found := value(one)) is not None:
                family.add_metric([one.host.name], found)
        return family

    def _counter(self, metric: str, words: str, name: str) -> Metric:
        family = CounterMetricFamily(metric, words, labels=["host"])
        for one in self._hosts:
            reading = one.readings.get(SampleReading.Kind.HOST)
            if reading is not None and name in reading.counts:
                family.add_metric([one.host.name], reading.counts[name])
        return family

    def _rules(self) -> Metric:
        family = CounterMetricFamily(
            "dockerfw_rule_hits", "Packets that a rule let through or blocked.", labels=["host", "rule"]
        )
        for one in self._hosts:
            reading = one.readings.get(SampleReading.Kind.RULES)
            counts = reading.counts if reading is not None else {}
            for name in sorted(counts, key=lambda name: (-counts[name], name))[:MOST_RULES]:
                family.add_metric([one.host.name, name.removeprefix(RULE_PREFIX)], counts[name])
        return family

    def _sets(self) -> Metric:
        family = GaugeMetricFamily(
            "dockerfw_set_entries", "Entries of an ipset that rules match.", labels=["host", "set"]
        )
        for one in self._hosts:
            names = sorted(name for name in one.levels if name.startswith(SET_PREFIX))
            for name in names[:MOST_SETS]:
                family.add_metric([one.host.name, name.removeprefix(SET_PREFIX)], one.levels[name])
        return family

    def _clerk(self) -> Iterator[Metric]:
        note = ProcessNote.objects.filter(name="clerk").first()
        if note is not None:
            yield GaugeMetricFamily(
                "dockerfw_clerk_timestamp_seconds",
                "When the clerk, which records all figures, reported last.",
                value=note.seen_at.timestamp(),
            )

    def _next_expiry(self, one: _Recorded) -> float | None:
        if one.host.confirmed_revision is None:
            return None
        now = f"{self._now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        rules = revision_document(one.host.confirmed_revision).rules
        ends = [rule.expires for rule in rules if rule.enabled and rule.expires > now]
        return datetime.fromisoformat(min(ends)).timestamp() if ends else None


def metrics_text(accept: str) -> tuple[bytes, str]:
    """Return the figures of all hosts and their content type, in the form that a scraper accepts."""
    now = timezone.now()
    registry = CollectorRegistry()
    registry.register(_Figures(_recorded(now), now))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _recorded(now: datetime) -> tuple[_Recorded, ...]:
    """Read what was recorded last of each host."""
    rows = Host.objects.select_related("confirmed_revision").order_by("name")
    hosts = {host.pk: _Recorded(host) for host in rows}
    for reading in SampleReading.objects.all():
        one = hosts[reading.host_id]
        one.looks.append(reading.at)
        # A counter that is read no more must not look like one that stands still.
        if now - reading.at <= (_RECENT if reading.kind == SampleReading.Kind.HOST else _RECENT_SETS):
            one.readings[reading.kind] = reading
    minutes = Sample.objects.filter(step=MINUTE, at__gte=_seconds(now - _RECENT))
    sets = Sample.objects.filter(
        step=QUARTER, at__gte=_seconds(now - _RECENT_SETS), series__name__startswith=SET_PREFIX
    )
    for samples in (minutes, sets):
        newest = samples.order_by("at").values_list("series__host_id", "series__name", "value")
        for host, name, value in newest:
            hosts[host].levels[name] = value
    return tuple(hosts.values())


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
