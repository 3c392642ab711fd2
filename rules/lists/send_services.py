"""Send what lists stand for to a host's root worker, judged once more by what is known right now.

The host holds the lists of every group of its documents, so that an apply finds them there. Its report about
itself says which it holds, and the order is repeated until that is what it should be.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_interface

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from dockerfw.chains.list_entries import digest_of_list
from dockerfw.chains.list_judgement import Members
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.networks import family_of
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.list_orders import BindLists, BoundList, parts_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.simulation.addresses import AddressSet
from rules.audit.actors import SYSTEM
from rules.audit.audit_selectors import addresses_since
from rules.audit.audit_services import audit_record
from rules.link import client
from rules.link.sequence import sequence_next
from rules.lists import sentences
from rules.lists.consequence_selectors import find_harm
from rules.lists.list_selectors import list_members
from rules.models import GroupList, Host
from rules.seen.about_selectors import read_about

Judge = Callable[[Host, Mapping[str, Members]], str]
"""Says why these members by definition must not be loaded now, empty if they may."""


@dataclass(frozen=True, slots=True)
class _Ready:
    row: GroupList
    members: Members
    order: BoundList
    packed: bytes


def lists_send(*, host: Host, judge: Judge = find_harm) -> bool:
    """Send a host its lists, if it does not hold them; return True if an order was sent.

    `judge` is asked for each list that would change. Of one that is held back the host keeps the former
    version. That, and what the host refused, is told in the lists' `problem`. Raises QueueError.
    """
    about = read_about(host.name)
    if about is None:
        return False
    held = {one.definition: one for one in about.lists}
    ready, problems = _prepare(host)
    orders: dict[str, BoundList] = {
        definition: held[definition] for definition in problems if definition in held
    }
    for definition, one in ready.items():
        known = held.get(definition)
        if known is not None and known.digest == one.order.digest:
            orders[definition] = known if known.number == one.order.number else one.order
            continue
        if reason := judge(host, {definition: one.members}):
            problems[definition] = sentences.HELD_BACK.format(why=reason)
            orders |= {definition: known} if known is not None else {}
        else:
            orders[definition] = one.order
    is_due = orders != held
    if is_due:
        packed = {one.order.packed: one.packed for one in ready.values()}
        _send(host, orders, packed, {one.packed for one in about.lists})
    refused = dict.fromkeys(orders, about.lists_problem) if is_due and about.lists_problem else {}
    _note_problems(host, {**refused, **problems})
    return is_due


def _prepare(host: Host) -> tuple[dict[str, _Ready], dict[str, str]]:
    """Return the lists of a host by definition, and why others, or parts of them, are held back."""
    rows = GroupList.objects.filter(host=host, wanted=True, accepted__isnull=False)
    spared, unknown = spared_addresses(host)
    ready: dict[str, _Ready] = {}
    problems: dict[str, str] = {}
    for row in rows.select_related("accepted"):
        if unknown and (row.block or row.loaded_block):
            problems[row.definition] = unknown
            continue
        ready[row.definition] = _ready(row, list_members(row, spared))
        if ready[row.definition].members.problem:
            problems[row.definition] = ready[row.definition].members.problem
    return ready, problems


def _ready(row: GroupList, members: Members) -> _Ready:
    assert row.accepted is not None
    text = "".join(f"{network}\n" for family in FAMILIES for network in members.of(family))
    packed = zlib.compress(text.encode("ascii"))
    order = BoundList(
        definition=row.definition,
        number=row.accepted.number,
        digest=digest_of_list(text),
        packed=hashlib.sha256(packed).hexdigest(),
        parts=sum(1 for _ in parts_of("", packed, "")),
        entries4=len(members.v4),
        entries6=len(members.v6),
    )
    return _Ready(row, members, order, packed)


def _send(host: Host, orders: Mapping[str, BoundList], packed: Mapping[str, bytes], known: set[str]) -> None:
    issued_at = _now()
    for one in orders.values():
        if one.packed not in known:
            for part in parts_of(host.name, packed[one.packed], issued_at):
                client.list_message_send(host=host.name, func="list_part", message=part.to_json())
    with transaction.atomic():
        sequence = sequence_next(Host.objects.select_for_update().get(pk=host.pk))
    lists = tuple(orders[definition] for definition in sorted(orders))
    order = BindLists(host.name, sequence, lists, _now())
    client.list_message_send(host=host.name, func="bind_lists", message=order.to_json())


def _now() -> str:
    return timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def spared_addresses(host: Host) -> tuple[dict[Family, AddressSet], str]:
    """Return the addresses that no block may cover: the host's own, and those of admins with open sessions.

    The second value says why they are unknown, empty when they are known.
    """
    found: dict[Family, list[tuple[int, int]]] = {4: [], 6: []}
    try:
        data = client.snapshot_read(host.name)
        if data is None:
            return {}, sentences.NO_SNAPSHOT
        snapshot = Snapshot.from_json(load_json(data, max_bytes=client.SNAPSHOT_BYTES_MAX))
    except (client.QueueError, MessageError, NetfilterError):
        return {}, sentences.NO_SNAPSHOT
    addresses = {ip_interface(text).ip for one in snapshot.interfaces for text in one.addresses}
    since = timezone.now() - timedelta(seconds=settings.SESSION_COOKIE_AGE)
    addresses |= addresses_since(since)
    for address in addresses:
        found[family_of(address)].append((int(address), int(address)))
    return {family: AddressSet.from_intervals(family, found[family]) for family in FAMILIES}, ""


def _note_problems(host: Host, problems: Mapping[str, str]) -> None:
    with transaction.atomic():
        for row in GroupList.objects.select_for_update().filter(host=host, wanted=True).defer("answers"):
            problem = problems.get(row.definition, "")
            if problem == row.problem:
                continue
            GroupList.objects.filter(pk=row.pk).update(problem=problem)
            if problem:
                audit_record(actor=SYSTEM, verb="list-not-loaded", host=host, target=row.name, detail=problem)
