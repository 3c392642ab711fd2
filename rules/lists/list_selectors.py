"""Read what the lists of a host stand for: their state, counts and errors, and where an address is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Literal, cast

from django.db.models import QuerySet
from django.utils import timezone

from dockerfw.chains.group_sizes import GroupSize, size_of_networks
from dockerfw.chains.list_entries import NO_NETWORKS
from dockerfw.chains.list_judgement import Members, Uses, choose_members
from dockerfw.document.values import GroupKind
from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import AddressSet
from rules.lists import sentences
from rules.lists.stored_lists import networks_text, version_networks
from rules.models import GroupList, Host, ListVersion
from rules.pages.errors import ServiceError
from rules.pages.host_selectors import read_along
from rules.seen.about_selectors import read_about
from rules.seen.memory import Memory

STALE_PERIODS: Final = 3
# A name server that is gone for three minutes is no news yet.
LEAST_STALE: Final = timedelta(minutes=10)

State = Literal["waiting", "current", "failing", "stale", "held"]


_sizes: Memory[GroupSize] = Memory(200)
_networks: Memory[Mapping[Family, tuple[str, ...]]] = Memory(8)


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version: when it was fetched, its networks by family, and the difference to the one before."""

    key: int
    number: int
    fetched_at: datetime
    state: str
    reason: str
    entries4: int
    entries6: int
    added: int
    removed: int
    decided_by: str


@dataclass(frozen=True, slots=True)
class ListState:
    """What one list stands for on a host.

    `state` is the first of these that is true: "stale" (not fetched for three periods), "held" (a version
    waits to be accepted), "failing" (the last fetch failed), "waiting" (never fetched), "current". All but
    the last are amber. `error` is why, and may be set for a current list of names, too. `is_loaded` is True
    if a loaded revision uses the list, and `problem` says why the host does not hold all of the version in
    use.
    """

    key: int
    definition: str
    name: str
    kind: str
    source: tuple[str, ...]
    state: State
    error: str
    wanted: bool
    checked_at: datetime | None
    fetched_at: datetime | None
    due_at: datetime | None
    current: VersionState | None
    held: VersionState | None
    is_loaded: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Found:
    """A list that an address is in, and its widest network with it."""

    name: str
    definition: str
    network: str


def list_rows(host: Host) -> QuerySet[GroupList]:
    """Return the lists that a host's documents need, by name, without the networks."""
    return wanted_lists().filter(host=host)


def wanted_lists() -> QuerySet[GroupList]:
    """Return the lists that the documents of all hosts need, by name, without the networks."""
    rows = GroupList.objects.filter(wanted=True).select_related("accepted", "held", "host")
    return rows.defer("accepted__networks", "held__networks", "answers")


def list_states(host: Host, *, now: datetime | None = None) -> tuple[ListState, ...]:
    """Return the state of each list that a host's documents need, by name."""
    moment = now or timezone.now()
    rows = read_along(host, "lists_wanted")
    return tuple(_state(row, moment) for row in (list_rows(host) if rows is None else rows))


def list_versions(row: GroupList) -> tuple[VersionState, ...]:
    """Return the versions of a list that are kept, newest first."""
    found = (_version(version) for version in ListVersion.objects.filter(list=row).defer("networks"))
    return tuple(version for version in found if version is not None)


def list_networks(host: Host, definition: str) -> tuple[str, ...] | None:
    """Return the networks in use of a definition in canonical order, None before the first version."""
    row = GroupList.objects.filter(host=host, definition=definition).select_related("accepted").first()
    if row is None or row.accepted is None:
        return None
    return tuple(networks_text(row.accepted).split())


def version_size(version: VersionState) -> GroupSize:
    """Return the size of a version, whose networks are counted once."""
    # The time distinguishes versions of recreated databases, which reuse keys.
    return _sizes.get_or_compute((version.key, version.fetched_at), partial(_read_size, version.key))


def _read_size(key: int) -> GroupSize:
    return size_of_networks(networks_text(ListVersion.objects.get(pk=key)).split())


def list_members(row: GroupList, spared: dict[Family, AddressSet]) -> Members:
    """Return what the kernel's sets of a list are filled with.

    The rules that are loaded count, and those of a draft as long as no loaded rule uses the list: a draft
    must not change what is loaded.
    `spared` are the host's own addresses and those of the admins' open sessions.
    """
    networks = version_networks(row.accepted) or NO_NETWORKS
    uses = Uses(allow=row.loaded_allow, block=row.loaded_block)
    if uses == Uses():
        uses = Uses(allow=row.allow, block=row.block)
    return choose_members(cast("GroupKind", row.kind), networks, uses, spared)


def networks_of_lists(host: str, definitions: tuple[str, ...]) -> dict[str, Mapping[Family, tuple[str, ...]]]:
    """Return what a load would fill the sets of these lists with; nothing for one that was never fetched."""
    found: dict[str, Mapping[Family, tuple[str, ...]]] = {one: {4: (), 6: ()} for one in definitions}
    rows = GroupList.objects.filter(host__name=host, definition__in=definitions, accepted__isnull=False)
    for row in rows.defer("answers"):
        key = (row.accepted_id, row.allow, row.block, row.loaded_allow, row.loaded_block)
        found[row.definition] = _networks.get_or_compute(key, partial(_networks_of, row))
    return found


def _networks_of(row: GroupList) -> Mapping[Family, tuple[str, ...]]:
    members = list_members(row, {})
    return {4: members.of(4), 6: members.of(6)}


def versions_on_host(host: Host) -> dict[str, int] | None:
    """Return the numbers of the versions that the host holds, by definition; None when that is unknown."""
    about = read_about(host.name)
    return None if about is None else {one.definition: one.number for one in about.lists}


def find_address(host: Host, text: str) -> tuple[Found, ...]:
    """Return the lists in use of a host that have an address. Raises ServiceError for another text."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise ServiceError(sentences.NOT_AN_ADDRESS.format(text=text[:60])) from None
    found = []
    rows = GroupList.objects.filter(host=host, wanted=True, accepted__isnull=False)
    for row in rows.select_related("accepted"):
        assert row.accepted is not None
        if network := _network_with(address, networks_text(row.accepted)):
            found.append(Found(row.name, row.definition, network))
    return tuple(found)


def is_stale(row: GroupList, now: datetime) -> bool:
    """Return True if a list that is in use was not fetched for three periods."""
    period = timedelta(seconds=row.refresh_seconds)
    since = row.fetched_at or row.created_at
    return now - since > max(STALE_PERIODS * period, LEAST_STALE)


def _state(row: GroupList, now: datetime) -> ListState:
    state: State = "current"
    if row.accepted is None and row.held is None and not row.error:
        state = "waiting"
    if row.failing_since is not None or (row.error and row.kind != "names"):
        state = "failing"
    if row.held is not None:
        state = "held"
    if is_stale(row, now):
        state = "stale"
    return ListState(
        key=row.pk,
        definition=row.definition,
        name=row.name,
        kind=row.kind,
        source=_source(row),
        state=state,
        error=row.error or (row.held.reason if row.held else ""),
        wanted=row.wanted,
        checked_at=row.checked_at,
        fetched_at=row.fetched_at,
        due_at=row.due_at,
        current=_version(row.accepted),
        held=_version(row.held),
        is_loaded=row.loaded_allow or row.loaded_block,
        problem=row.problem,
    )


def _source(row: GroupList) -> tuple[str, ...]:
    source = row.source
    return (source["url"],) if row.kind == "feed" else tuple(source[row.kind])


def _version(version: ListVersion | None) -> VersionState | None:
    if version is None:
        return None
    return VersionState(
        key=version.pk,
        number=version.number,
        fetched_at=version.fetched_at,
        state=version.state,
        reason=version.reason,
        entries4=version.entries4,
        entries6=version.entries6,
        added=version.added4 + version.added6,
        removed=version.removed4 + version.removed6,
        decided_by=version.decided_by,
    )


def _network_with(address: IPv4Address | IPv6Address, text: str) -> str:
    """Return the widest network of a canonical text that has the address, empty if there is none.

    The text is not parsed, since that takes seconds for a million networks.
    """
    lines = f"\n{text}"
    for length in range(address.max_prefixlen + 1):
        network = ip_network((int(address), length), strict=False)
        shown = str(network) if length < address.max_prefixlen else str(address)
        if f"\n{shown}\n" in lines:
            return shown
    return ""
