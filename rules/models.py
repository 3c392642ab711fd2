"""The tables of dockerfw: hosts, their drafts, revisions and applies, lists, and the audit log.

Services write them, selectors read them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Never

from django.db import models


class AppendOnlyError(TypeError):
    """A row of an append-only table was to be changed or deleted."""


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Refuse every change of stored rows; database triggers refuse it too."""

    def update(self, **kwargs: Any) -> Never:
        raise AppendOnlyError(f"{self.model.__name__} rows are never changed")

    def delete(self) -> Never:
        raise AppendOnlyError(f"{self.model.__name__} rows are never deleted")

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> Never:
        raise AppendOnlyError(f"{self.model.__name__} rows are never changed")


class AppendOnlyModel(models.Model):
    """A row that is written once."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(f"{type(self).__name__} rows are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise AppendOnlyError(f"{type(self).__name__} rows are never deleted")


def trusted_default() -> list[str]:
    """Return the trusted interfaces of a new host: loopback."""
    return ["lo"]


class Host(models.Model):
    """One managed machine with its draft's settings and the revision that was confirmed last."""

    class Refuse(models.TextChoices):
        REJECT = "reject", "reject (say so at once)"
        DROP = "drop", "drop (stay silent)"

    class Icmp(models.TextChoices):
        ACCEPT = "accept", "let through"
        REFUSE = "refuse", "refuse"

    class ContainersReachHost(models.TextChoices):
        BY_RULES = "by-rules", "by rules"
        ALLOW = "allow", "always"

    name = models.SlugField(max_length=50, unique=True)
    title = models.CharField(max_length=100, blank=True)
    external_interfaces = models.JSONField(default=list, blank=True)
    trusted_interfaces = models.JSONField(default=trusted_default, blank=True)
    refuse = models.CharField(max_length=10, choices=Refuse, default=Refuse.REJECT)
    icmp = models.CharField(max_length=10, choices=Icmp, default=Icmp.ACCEPT)
    heal_anchors = models.BooleanField(default=False)
    containers_reach_host = models.CharField(
        max_length=10, choices=ContainersReachHost, default=ContainersReachHost.BY_RULES
    )
    log_refused = models.BooleanField(default=True)
    draft_version = models.PositiveBigIntegerField(default=1)
    sequence = models.BigIntegerField(default=0)
    confirmed_revision = models.ForeignKey(
        "Revision", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Group(models.Model):
    """A named list of networks of a host's draft, or where such a list comes from."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="groups")
    name = models.CharField(max_length=40)
    kind = models.CharField(max_length=10, default="static")
    entries = models.JSONField(default=list, blank=True)
    url = models.CharField(max_length=2000, blank=True)
    refresh_hours = models.PositiveIntegerField(default=24)
    allow_http = models.BooleanField(default=False)
    names = models.JSONField(default=list, blank=True)
    countries = models.JSONField(default=list, blank=True)
    comment = models.CharField(max_length=200, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["host", "name"], name="group_name_once_per_host")]

    def __str__(self) -> str:
        return f"@{self.name}"


class Rule(models.Model):
    """One allowance or block of a host's draft; `key` is the id that the kernel's comment carries."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="rules")
    key = models.CharField(max_length=12)
    action = models.CharField(max_length=10, default="allow")
    scope = models.CharField(max_length=10)
    sources = models.JSONField(default=list, blank=True)
    protocol = models.CharField(max_length=32, default="any")
    ports = models.JSONField(default=list, blank=True)
    port_kind = models.CharField(max_length=10, default="published")
    comment = models.CharField(max_length=200, blank=True)
    enabled = models.BooleanField(default=True)
    to = models.CharField(max_length=64, blank=True)
    container = models.CharField(max_length=128, blank=True)
    interface = models.CharField(max_length=15, blank=True)
    limit = models.CharField(max_length=20, blank=True)
    starts = models.CharField(max_length=20, blank=True)
    expires = models.CharField(max_length=20, blank=True)
    owner = models.CharField(max_length=100, blank=True)
    ticket = models.CharField(max_length=100, blank=True)
    tags = models.JSONField(default=list, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["host", "key"], name="rule_key_once_per_host")]

    def __str__(self) -> str:
        return f"{self.scope} {','.join(self.sources)} {self.protocol} {','.join(self.ports)}".strip()


class Expectation(models.Model):
    """A result that has to hold for a host, whatever the rules of its draft are."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="expectations")
    source = models.CharField(max_length=64, default="any")
    protocol = models.CharField(max_length=32)
    port = models.PositiveIntegerField(null=True, blank=True)
    to = models.CharField(max_length=10, default="host")
    container = models.CharField(max_length=128, blank=True)
    passes = models.BooleanField()
    comment = models.CharField(max_length=200, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        port = f"{self.port}/" if self.port else ""
        verb = "passes" if self.passes else "is refused"
        return f"{port}{self.protocol} of {self.container or self.to} from {self.source} {verb}"


class Revision(AppendOnlyModel):
    """An immutable, numbered copy of a draft."""

    class Origin(models.TextChoices):
        PERSON = "person", "a person"
        SYSTEM = "system", "the system"

    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    document = models.TextField()
    digest = models.CharField(max_length=64)
    author_name = models.CharField(max_length=150)
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.PERSON)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    restores = models.PositiveIntegerField(null=True, blank=True)
    message = models.TextField(max_length=2000)
    # What it changed from its parent, in a sentence; earlier releases did not store it.
    change = models.TextField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(AppendOnlyModel.Meta):
        abstract = False
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["host", "number"], name="revision_number_once_per_host")
        ]

    def __str__(self) -> str:
        return f"revision {self.number}"


class Apply(models.Model):
    """One attempt to load one revision. The row outlives the job in the queue."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        LOADING = "loading", "loading"
        AWAITING = "awaiting", "awaiting confirmation"
        CONFIRMED = "confirmed", "confirmed"
        ROLLED_BACK = "rolled_back", "rolled back"
        FAILED = "failed", "failed"

    class Answer(models.TextChoices):
        KEEP = "keep", "keep"
        ROLLBACK = "rollback", "roll back"
        EXTEND = "extend", "longer"

    UNFINISHED = (State.QUEUED, State.LOADING, State.AWAITING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="applies")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="applies")
    requested_by = models.CharField(max_length=150)
    message = models.TextField(max_length=2000, blank=True)
    # The reason for applying although an expectation fails, empty when none was overridden.
    override = models.TextField(max_length=2000, blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    sequence = models.BigIntegerField()
    job_id = models.CharField(max_length=64)
    steps = models.JSONField(default=list, blank=True)
    error = models.JSONField(null=True, blank=True)
    # The confirmation window: its length, its end once it is open, and the digest of the key for Keep.
    window_seconds = models.PositiveIntegerField(default=60)
    window_deadline = models.DateTimeField(null=True, blank=True)
    # When the dashboard learned that it is open. All other times of a window are by the host's clock.
    window_seen_at = models.DateTimeField(null=True, blank=True)
    nonce_digest = models.CharField(max_length=64, blank=True)
    answer = models.CharField(max_length=10, choices=Answer, blank=True)
    answered_by = models.CharField(max_length=150, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    way_back = models.JSONField(null=True, blank=True)
    # Whether Keep ends the sessions that are no longer allowed.
    end_sessions = models.BooleanField(default=False)
    last_event = models.IntegerField(default=-1)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-sequence"]
        verbose_name_plural = "applies"
        indexes = [
            models.Index(fields=["host", "-sequence"], name="apply_newest_of_host"),
            models.Index(fields=["host", "state"], name="apply_state_of_host"),
        ]

    def __str__(self) -> str:
        return f"apply of revision {self.revision.number}: {self.get_state_display()}"

    @property
    def is_finished(self) -> bool:
        """Return True if no further event can change this apply."""
        return self.state not in self.UNFINISHED


class AuditEvent(AppendOnlyModel):
    """One entry of the audit log; names are text, so that they outlive their accounts."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor_name = models.CharField(max_length=150, blank=True)
    address = models.CharField(max_length=64, blank=True)
    host = models.ForeignKey(Host, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    verb = models.CharField(max_length=50, db_index=True)
    target = models.CharField(max_length=200, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    detail = models.TextField(blank=True)

    class Meta(AppendOnlyModel.Meta):
        abstract = False
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["actor_name", "id"], name="audit_event_of_actor"),
            models.Index(fields=["host", "verb", "id"], name="audit_event_of_host"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target}".strip()


class GroupList(models.Model):
    """A feed, DNS names or countries as one host uses them, by the digest of the group's definition.

    It outlives changes of the group's name, and of what it stands for. `allow` and `block` say which rules of
    the draft or of loaded revisions use it, `loaded_allow` and `loaded_block` which rules of loaded ones.
    """

    class Kind(models.TextChoices):
        FEED = "feed", "feed"
        NAMES = "names", "DNS names"
        COUNTRIES = "countries", "countries"

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="lists")
    definition = models.CharField(max_length=20)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind)
    # What the definition has: url, names or countries.
    source = models.JSONField()
    allow_http = models.BooleanField(default=False)
    refresh_seconds = models.PositiveIntegerField()
    allow = models.BooleanField(default=False)
    block = models.BooleanField(default=False)
    loaded_allow = models.BooleanField(default=False)
    loaded_block = models.BooleanField(default=False)
    # A group of the draft or of a loaded revision has this definition. Others are fetched no more.
    wanted = models.BooleanField(default=True)
    unwanted_since = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    # The last time that the source answered, with a new version or without one.
    fetched_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    # Why the version in use, or all of it, does not reach the host's root worker.
    problem = models.TextField(blank=True)
    etag = models.CharField(max_length=200, blank=True)
    # The last good answers for DNS names.
    answers = models.JSONField(default=dict, blank=True)
    number = models.PositiveIntegerField(default=0)
    accepted = models.ForeignKey(
        "ListVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    held = models.ForeignKey(
        "ListVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["host", "definition"], name="list_definition_once_per_host")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}"


class ListVersion(models.Model):
    """What a list stood for from one moment on. Its networks never change; old versions are removed."""

    class State(models.TextChoices):
        ACCEPTED = "accepted", "accepted"
        HELD = "held", "held"
        REFUSED = "refused", "refused"
        REPLACED = "replaced", "replaced before it was accepted"

    list = models.ForeignKey(GroupList, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    fetched_at = models.DateTimeField()
    etag = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State)
    reason = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    # The canonical text, one network in each line, compressed with zlib and in base64.
    networks = models.TextField()
    entries4 = models.PositiveIntegerField()
    entries6 = models.PositiveIntegerField()
    # The shortest prefixes that the list itself names.
    widest4 = models.PositiveSmallIntegerField()
    widest6 = models.PositiveSmallIntegerField()
    # The difference to the version that was in use then.
    added4 = models.PositiveIntegerField(default=0)
    removed4 = models.PositiveIntegerField(default=0)
    added6 = models.PositiveIntegerField(default=0)
    removed6 = models.PositiveIntegerField(default=0)
    decided_by = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["list", "number"], name="list_version_once_per_list")]

    def __str__(self) -> str:
        return f"version {self.number} of {self.list.name}"


class RefusedMinute(models.Model):
    """Alike packets that a host refused within one minute.

    `source` is an address, or its network if addresses are shortened, and `source_key` its sort key.
    `container` is the name of the container that the packets were for, as it was known then;
    `containers_known` tells whether an empty name means that there was none. Packets that are known of but
    not listed have the reason `unlisted` and no source.
    """

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="refused")
    minute = models.DateTimeField()
    last_at = models.DateTimeField()
    way = models.CharField(max_length=10, blank=True)
    interface = models.CharField(max_length=15, blank=True)
    source = models.CharField(max_length=49, blank=True)
    source_key = models.CharField(max_length=33, blank=True)
    destination = models.CharField(max_length=45, blank=True)
    protocol = models.CharField(max_length=32, blank=True)
    port = models.PositiveIntegerField(null=True, blank=True)
    inner = models.CharField(max_length=45, blank=True)
    inner_port = models.PositiveIntegerField(null=True, blank=True)
    container = models.CharField(max_length=128, blank=True)
    containers_known = models.BooleanField(default=False)
    revision = models.PositiveBigIntegerField(null=True, blank=True)
    reason = models.CharField(max_length=10)
    count = models.PositiveBigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["host", "minute"], name="refused_minute_of_host")]

    def __str__(self) -> str:
        return f"{self.count} packets from {self.source or 'others'} in {self.minute:%Y-%m-%d %H:%M}"


class RefusedCount(models.Model):
    """The packets that a host's rules had refused by a moment, as the kernel's counters show them."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="refused_counts")
    at = models.DateTimeField()
    packets = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "at"], name="refused_count_once_a_moment")]

    def __str__(self) -> str:
        return f"{self.packets} packets by {self.at:%Y-%m-%d %H:%M:%S}"


class RefusedReading(models.Model):
    """How far a host's stream of refused packets is stored: the id of the entry that was stored last."""

    host = models.OneToOneField(Host, on_delete=models.CASCADE, related_name="refused_reading")
    entry = models.CharField(max_length=45, default="0-0")
    # Entries of the stream that were no valid batch.
    unreadable = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"stored up to {self.entry}"


class SampleSeries(models.Model):
    """What is recorded of a host over time under one name, such as `refused`, `set:NAME` or `rule:ID`.

    `since` is the moment from which it is recorded, in UTC seconds since 1970.
    """

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="series")
    name = models.CharField(max_length=80)
    since = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "name"], name="series_name_once_per_host")]

    def __str__(self) -> str:
        return f"{self.name} of {self.host}"


class Sample(models.Model):
    """One step of a series: a minute, 15 minutes or a day, by UTC.

    `at` is its begin in seconds since 1970 and `step` its length. `value` is what was counted in those
    `seconds` of it that are known; of a number that goes up and down it is the highest one.
    """

    series = models.ForeignKey(SampleSeries, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    at = models.PositiveBigIntegerField()
    value = models.FloatField()
    seconds = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "step", "at"], name="sample_once_a_step_of_series")
        ]
        indexes = [models.Index(fields=["step", "at"], name="samples_of_a_time")]

    def __str__(self) -> str:
        return f"{self.value} in {self.step} s from {self.at}"


class SampleReading(models.Model):
    """The counters that were read last, to count on from.

    `mark` says which rules they belong to: between two marks nothing can be counted.
    """

    class Kind(models.TextChoices):
        HOST = "host", "the whole host"
        RULES = "rules", "each rule"

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="sample_readings")
    kind = models.CharField(max_length=10, choices=Kind)
    at = models.DateTimeField()
    mark = models.CharField(max_length=64)
    counts = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "kind"], name="sample_reading_once_a_kind")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.host} at {self.at:%Y-%m-%d %H:%M:%S}"


class ProcessNote(models.Model):
    """The last report of a process that writes to this database."""

    name = models.CharField(max_length=50, unique=True)
    version = models.CharField(max_length=64)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class SetupLink(models.Model):
    """The one-time link that creates the first admin; only the token's digest is stored."""

    token_digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"setup link of {self.created_at:%Y-%m-%d %H:%M}"
