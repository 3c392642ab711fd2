"""Follow the lists that documents need, record what their sources say, and accept what was held.

A version that is in use is never changed by hand: it is replaced by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from dockerfw.chains.list_entries import (
    NO_NETWORKS,
    NetworkList,
    compare_lists,
    count_networks,
    digest_of_list,
)
from dockerfw.chains.list_judgement import Uses, find_fault, judge_list
from dockerfw.document.values import Document, Group, GroupKind
from dockerfw.iptables.model import FAMILIES
from rules.audit.actors import SYSTEM, Actor
from rules.audit.audit_services import audit_record
from rules.lists import sentences
from rules.lists.list_uses import WantedList, wanted_lists
from rules.lists.source_reading import Answer
from rules.lists.stored_lists import pack_networks, version_networks
from rules.models import GroupList, Host, ListVersion
from rules.pages.errors import ServiceError

NAMES_SECONDS: Final = 60
# The first retries come soon, and then once in the list's own period or once an hour.
RETRY_SECONDS: Final = 300
MOST_RETRY_SECONDS: Final = 3600
# A list that was handed out and not recorded by then is handed out again.
LEASE: Final = timedelta(minutes=10)
KEPT_VERSIONS: Final = 20
FORGOTTEN_AFTER: Final = timedelta(days=30)
MOST_ERROR: Final = 4000


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A judged version that is not stored yet, and what the judgement depends on."""

    basis: tuple[object, ...]
    version: ListVersion


def lists_follow(
    *, host: Host, loaded: Iterable[Document], drafts: Iterable[Document], now: datetime | None = None
) -> int:
    """Have a row for each list that these documents need, due at once if it is new; return how many changed.

    `loaded` are the confirmed revision and one in an open window. A list that no document needs is fetched no
    more, and forgotten after 30 days.
    """
    moment = now or timezone.now()
    wanted = wanted_lists(loaded, drafts)
    changed = 0
    with transaction.atomic():
        known = {row.definition: row for row in GroupList.objects.select_for_update().filter(host=host)}
        for definition, one in wanted.items():
            changed += _follow(host, definition, one, known.get(definition), moment)
        for definition in known.keys() - wanted.keys():
            row = known[definition]
            if row.wanted:
                row.wanted, row.unwanted_since, row.due_at = False, moment, None
                row.allow = row.block = row.loaded_allow = row.loaded_block = False
                row.save()
                changed += 1
            elif row.unwanted_since and moment - row.unwanted_since > FORGOTTEN_AFTER:
                row.delete()
                changed += 1
    return changed


def lists_claim(*, now: datetime | None = None) -> list[GroupList]:
    """Return the lists that are due, each to one caller only for the length of LEASE."""
    moment = now or timezone.now()
    due = GroupList.objects.filter(wanted=True, due_at__lte=moment)
    found = []
    for row in due.select_related("host").defer("answers"):
        same = GroupList.objects.filter(pk=row.pk, due_at=row.due_at)
        if same.update(due_at=moment + LEASE):
            found.append(row)
    return found


def list_release(*, row: GroupList, now: datetime | None = None) -> None:
    """Make a list due again that could not be handed out."""
    GroupList.objects.filter(pk=row.pk, wanted=True).update(due_at=now or timezone.now())


def list_refresh(*, row: GroupList, actor: Actor, now: datetime | None = None) -> None:
    """Have a list fetched as soon as possible."""
    with transaction.atomic():
        list_release(row=row, now=now)
        audit_record(actor=actor, verb="list-refresh", host=row.host, target=row.name)


def list_record(*, key: int, answer: Answer, now: datetime | None = None) -> ListVersion | None:
    """Record what a source said; return the new version, None without a change.

    The list may be gone. A version that is held or refused leaves the former one in use.
    """
    moment = now or timezone.now()
    # A long list is judged before the database is locked.
    prepared = _prepare(key, answer.networks) if answer.networks is not None else None
    with transaction.atomic():
        row = _locked(key)
        if row is None:
            return None
        row.checked_at, row.etag, row.answers = moment, answer.etag, dict(answer.answers)
        row.due_at = moment + timedelta(seconds=answer.seconds or row.refresh_seconds) if row.wanted else None
        if answer.failed:
            _note_failure(row, answer.problem, moment)
        else:
            row.fetched_at, row.failing_since = moment, None
            row.error = answer.problem[:MOST_ERROR]
        version = None
        if answer.networks is not None and prepared is not None:
            if prepared.basis != _basis(row):
                prepared = _prepared(row, answer.networks)
            version = _record_version(row, prepared, moment)
        row.save()
        return version


def list_fail(*, key: int, problem: str, now: datetime | None = None) -> None:
    """Record that a source said nothing that can be used. The version in use stays."""
    moment = now or timezone.now()
    with transaction.atomic():
        row = _locked(key)
        if row is None:
            return
        row.checked_at = moment
        _note_failure(row, problem, moment)
        row.due_at = moment + _retry_after(row, moment) if row.wanted else None
        row.save()


def list_accept(*, version: ListVersion, actor: Actor, now: datetime | None = None) -> None:
    """Use a version that was held. Raises ServiceError when it is not held any more or must not be used."""
    moment = now or timezone.now()
    networks = version_networks(version) or NO_NETWORKS
    with transaction.atomic():
        row = _locked(version.list_id)
        held = row.held if row is not None else None
        if row is None or held is None or held.pk != version.pk:
            name = version.list.name
            raise ServiceError(sentences.NOT_HELD.format(number=version.number, name=name))
        kind, uses = cast("GroupKind", row.kind), Uses(allow=row.allow, block=row.block)
        if fault := find_fault(kind, networks, uses):
            raise ServiceError(sentences.FAULTY.format(number=held.number, name=row.name, why=fault))
        held.state, held.decided_by, held.decided_at = ListVersion.State.ACCEPTED, actor.name, moment
        held.save(update_fields=["state", "decided_by", "decided_at"])
        before = row.accepted
        row.accepted, row.held = held, None
        row.save(update_fields=["accepted", "held"])
        audit_record(
            actor=actor,
            verb="list-accept",
            host=row.host,
            target=row.name,
            before=_audited(before),
            after=_audited(held),
            detail=held.reason,
        )


def _locked(key: int) -> GroupList | None:
    rows = GroupList.objects.select_for_update(of=("self",)).select_related("host", "accepted", "held")
    return rows.filter(pk=key).first()


def _follow(host: Host, definition: str, one: WantedList, row: GroupList | None, now: datetime) -> bool:
    group = one.group
    values: dict[str, Any] = {
        "name": group.name,
        "allow_http": group.allow_http,
        "refresh_seconds": NAMES_SECONDS if group.kind == "names" else group.refresh_hours * 3600,
        "allow": one.uses.allow,
        "block": one.uses.block,
        "loaded_allow": one.loaded.allow,
        "loaded_block": one.loaded.block,
        "wanted": True,
        "unwanted_since": None,
    }
    if row is None:
        GroupList.objects.create(
            host=host,
            definition=definition,
            kind=group.kind,
            source=_source(group),
            due_at=now,
            **values,
        )
        return True
    if all(getattr(row, name) == value for name, value in values.items()):
        return False
    if not row.wanted or row.allow_http != group.allow_http:
        values["due_at"] = now
    elif row.due_at and row.refresh_seconds > values["refresh_seconds"]:
        values["due_at"] = min(row.due_at, now + timedelta(seconds=values["refresh_seconds"]))
    GroupList.objects.filter(pk=row.pk).update(**values)
    return True


def _source(group: Group) -> dict[str, object]:
    if group.kind == "feed":
        return {"url": group.url}
    if group.kind == "names":
        return {"names": sorted(set(group.names))}
    return {"countries": sorted(set(group.countries))}


def _basis(row: GroupList) -> tuple[object, ...]:
    """Return what the judgement of a new version depends on beside the version."""
    return (row.accepted_id, row.allow, row.block)


def _prepare(key: int, networks: NetworkList) -> _Prepared | None:
    row = GroupList.objects.select_related("accepted").filter(pk=key).first()
    return _prepared(row, networks) if row is not None else None


def _prepared(row: GroupList, networks: NetworkList) -> _Prepared:
    text = networks.to_text()
    digest = digest_of_list(text)
    is_known = row.accepted is not None and row.accepted.digest == digest
    former = networks if is_known else version_networks(row.accepted)
    uses = Uses(allow=row.allow, block=row.block)
    judged = judge_list(cast("GroupKind", row.kind), networks, former, uses)
    changes = {family: compare_lists(former or NO_NETWORKS, networks, family) for family in FAMILIES}
    version = ListVersion(
        state=judged.state,
        reason=judged.reason,
        digest=digest,
        networks=pack_networks(text),
        entries4=count_networks(networks.v4),
        entries6=count_networks(networks.v6),
        widest4=networks.widest4,
        widest6=networks.widest6,
        added4=changes[4].added,
        removed4=changes[4].removed,
        added6=changes[6].added,
        removed6=changes[6].removed,
    )
    return _Prepared(_basis(row), version)


def _record_version(row: GroupList, prepared: _Prepared, now: datetime) -> ListVersion | None:
    """Write a new version, unless the one in use, the held one or the refused one before says the same."""
    version = prepared.version
    if row.accepted is not None and row.accepted.digest == version.digest:
        _drop_held(row)
        return None
    if row.held is not None and row.held.digest == version.digest and version.state == "held":
        return None
    newest = ListVersion.objects.filter(list=row).defer("networks").first()
    if version.state == "refused":
        # The next fetch is a whole one: what is not used is not remembered as known.
        row.error, row.etag = version.reason[:MOST_ERROR], ""
        if newest is not None and newest.state == "refused" and newest.digest == version.digest:
            return None
    row.number += 1
    version.list, version.number, version.fetched_at, version.etag = row, row.number, now, row.etag
    version.save()
    before = row.accepted
    if version.state != "refused":
        _drop_held(row)
    if version.state == "accepted":
        row.accepted = version
    elif version.state == "held":
        row.held = version
    audit_record(
        actor=SYSTEM,
        verb={"accepted": "list-version", "held": "list-held", "refused": "list-refused"}[version.state],
        host=row.host,
        target=row.name,
        before=_audited(before),
        after=_audited(version),
        detail=version.reason,
    )
    _forget_versions(row)
    return version


def _drop_held(row: GroupList) -> None:
    if row.held is not None:
        ListVersion.objects.filter(pk=row.held.pk).update(state=ListVersion.State.REPLACED)
        row.held = None


def _forget_versions(row: GroupList) -> None:
    in_use = {key for key in (row.accepted_id, row.held_id) if key is not None}
    old = ListVersion.objects.filter(list=row, number__lte=row.number - KEPT_VERSIONS)
    old.filter(~Q(pk__in=in_use)).delete()


def _note_failure(row: GroupList, problem: str, now: datetime) -> None:
    row.error = problem[:MOST_ERROR]
    if row.failing_since is None:
        row.failing_since = now
        audit_record(
            actor=SYSTEM, verb="list-failing", host=row.host, target=row.name, detail=problem[:MOST_ERROR]
        )


def _retry_after(row: GroupList, now: datetime) -> timedelta:
    """Return the pause before the next try: as long as it has been failing, within bounds."""
    most = min(row.refresh_seconds, MOST_RETRY_SECONDS)
    failing = (now - row.failing_since).total_seconds() if row.failing_since else 0.0
    return timedelta(seconds=min(max(failing, min(RETRY_SECONDS, most)), most))


def _audited(version: ListVersion | None) -> Mapping[str, object] | None:
    if version is None:
        return None
    return {
        "version": version.number,
        "ipv4": version.entries4,
        "ipv6": version.entries6,
        "added": version.added4 + version.added6,
        "removed": version.removed4 + version.removed6,
        "digest": version.digest,
    }
