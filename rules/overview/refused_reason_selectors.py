"""Why packets were refused: by the revision that the kernel named, and by the lists and containers of then.

A list whose version of that moment is not known counts as unknown. What is shown is also put to the
simulator: where it would let the packet through, the reason is unknown too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Final, Literal, cast

from dockerfw.chains.group_sets import group_definition
from dockerfw.document.values import Document
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.messages.snapshot_values import containers_of
from dockerfw.reach import refusal_sentences as sentences
from dockerfw.reach.container_sets import find_selected
from dockerfw.reach.listening import RunningContainer
from dockerfw.reach.refusal_reasons import RefusalExplainer, RefusalReason, RefusedPacket
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.simulate import Prepared, simulate
from rules.applying.history_selectors import loaded_number, revision_get
from rules.draft.draft_selectors import revision_document
from rules.lists.list_selectors import networks_of_lists, versions_on_host
from rules.models import AuditEvent, GroupList, Host, Revision
from rules.overview.refused_packets import PacketKind
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import content_key, prepare_family, prepare_family_after

# A version reaches the kernel a while after it was accepted.
ON_ITS_WAY: Final = timedelta(minutes=2)
# Compiling the rules of a revision takes up to seconds: those of the newest ones of a page are compiled.
MOST_REVISIONS: Final = 2

_explainers: Memory[RefusalExplainer] = Memory(16)
_reasons: Memory[RefusalReason] = Memory(8192)
_contradictions: Memory[bool] = Memory(4096)


class ReasonSelector:
    """Finds the reasons of one request; revisions, lists and containers are read once."""

    def __init__(self, host: Host, view: SnapshotView | None) -> None:
        """Take a host and its last snapshot."""
        self._host = host
        self._view = view
        self._containers = containers_of(view.snapshot) if view else None
        self._loaded = loaded_number(view)
        self._revisions: dict[int, Revision | None] = {}
        self._lists: dict[str, tuple[GroupList, Mapping[Family, AddressSet]]] | None = None
        self._on_host: Mapping[str, int] = {}
        self._loaded_at: datetime | None = None
        self._compiled: set[int] = set()

    def reason_of(self, kind: PacketKind, last_at: datetime) -> RefusalReason:
        """Return why alike packets were refused, of which the last came at a moment."""
        if kind.revision is None:
            return RefusalReason("unknown", sentences.REVISION_UNKNOWN)
        revision = self._revision(kind.revision)
        if revision is None:
            return RefusalReason("unknown", sentences.revision_missing(kind.revision))
        document = revision_document(revision)
        groups = self._groups(document, last_at)
        marks = tuple((name, found and tuple(found.values())) for name, found in groups.items())
        key = (revision.digest, kind.revision, marks)
        explainer = _explainers.get_or_compute(
            key, partial(RefusalExplainer, document, kind.revision, groups)
        )
        packet = self._packet(kind, last_at)
        # A rule with times is compared to the second; all else does not depend on the moment.
        moment = packet.moment if explainer.has_times else ""
        return _reasons.get_or_compute(
            (key, kind, moment, packet.containers), lambda: explainer.explain(packet)
        )

    def checked(self, kind: PacketKind, last_at: datetime, reason: RefusalReason) -> RefusalReason:
        """Return the reason, unknown where the simulator lets the packet through at that revision."""
        decided = reason.kind not in ("unknown", "limit", "block", "loopback")
        if decided and kind.revision is not None and self._passes(kind, kind.revision, last_at):
            return RefusalReason("unknown", sentences.allowed_now(kind.revision), reason.rules)
        return reason

    def _revision(self, number: int) -> Revision | None:
        if number not in self._revisions:
            self._revisions[number] = revision_get(self._host, number) if number < 2**31 else None
        return self._revisions[number]

    def _packet(self, kind: PacketKind, last_at: datetime) -> RefusedPacket:
        family: Family = 6 if kind.family == 6 else 4
        return RefusedPacket(
            family=family,
            way=cast('Literal["host", "container"]', kind.way),
            interface=kind.interface,
            sources=AddressSet.of(family, [kind.source]),
            destination=kind.destination,
            protocol=kind.protocol,
            port=kind.port,
            inner=kind.inner,
            inner_port=kind.inner_port,
            containers=self._containers_of(kind),
            reason=cast('Literal["refused", "block", "loopback"]', kind.reason),
            moment=f"{last_at:%Y-%m-%dT%H:%M:%S.%f}Z",
        )

    def _containers_of(self, kind: PacketKind) -> tuple[RunningContainer, ...] | None:
        """Return the containers that packets were for, if they still run with that address, else None."""
        if not kind.container:
            return () if kind.containers_known else None
        found = find_selected(self._containers or (), kind.container)
        if len(found) != 1 or (kind.inner and ip_address(kind.inner) not in found[0].addresses):
            return None
        return found

    def _groups(self, document: Document, moment: datetime) -> dict[str, Mapping[Family, AddressSet] | None]:
        """Return what the groups of a document stood for that are not static; None where it is not known."""
        groups = [group for group in document.groups if group.kind != "static"]
        if not groups:
            return {}
        known = self._known_lists()
        found: dict[str, Mapping[Family, AddressSet] | None] = {}
        for group in groups:
            row, networks = known.get(group_definition(group), (None, None))
            found[group.name] = networks if row is not None and self._was_in_use(row, moment) else None
        return found

    def _known_lists(self) -> dict[str, tuple[GroupList, Mapping[Family, AddressSet]]]:
        if self._lists is None:
            rows = GroupList.objects.filter(host=self._host, accepted__isnull=False)
            rows = rows.select_related("accepted").defer("accepted__networks")
            kept = {row.definition: row for row in rows}
            networks = networks_of_lists(self._host.name, tuple(sorted(kept)))
            self._lists = {
                name: (row, {family: _address_set(family, networks[name][family]) for family in FAMILIES})
                for name, row in kept.items()
            }
            self._on_host = versions_on_host(self._host) or {}
            self._loaded_at = _lists_loaded_at(self._host)
        return self._lists

    def _was_in_use(self, row: GroupList, moment: datetime) -> bool:
        """Return True if the kernel held the version in use at a moment, and holds it now."""
        accepted = row.accepted
        if accepted is None or self._on_host.get(row.definition) != accepted.number:
            return False
        since = accepted.decided_at or accepted.fetched_at
        if self._loaded_at is None or self._loaded_at < since:
            # The host has not told yet when it loaded this version.
            return since + ON_ITS_WAY <= moment
        return self._loaded_at <= moment

    def _passes(self, kind: PacketKind, number: int, last_at: datetime) -> bool:
        view, revision = self._view, self._revision(number)
        protocol = protocol_number(kind.protocol)
        if view is None or revision is None or protocol is None or not kind.interface:
            return False
        family: Family = 6 if kind.family == 6 else 4
        prepared = self._prepared(view, revision, family)
        if prepared is None:
            return False
        packet = Packet(
            family=family,
            source=ip_network(kind.source).network_address,
            destination=ip_network(kind.destination).network_address,
            protocol=protocol,
            in_interface=kind.interface,
            destination_port=kind.port,
        )
        moment = int(last_at.timestamp())
        key: Hashable = (content_key(view), number, packet, moment // 60)
        hook = "INPUT" if kind.way == "host" else "FORWARD"

        def passes() -> bool:
            # A packet that goes elsewhere now, since addresses have changed, shows nothing.
            trace = simulate(prepared.at(moment), packet)
            return trace.hook == hook and trace.verdict.passes is True

        return _contradictions.get_or_compute((key, hook), passes)

    def _prepared(self, view: SnapshotView, revision: Revision, family: Family) -> Prepared | None:
        """Return the rules with this revision, None where they cannot be told or cost too much."""
        if self._loaded == revision.number:
            return prepare_family(view, family)
        self._compiled.add(revision.number)
        if len(self._compiled) > MOST_REVISIONS:
            return None
        try:
            return prepare_family_after(view, revision_document(revision), revision.number, family)
        except ParseError:
            return None


def _lists_loaded_at(host: Host) -> datetime | None:
    """Return when the host last loaded lists, by its clock; None if it never told."""
    event = AuditEvent.objects.filter(host=host, verb="lists-loaded").first()
    at = event.after.get("at") if event is not None and isinstance(event.after, dict) else None
    return datetime.fromisoformat(at) if isinstance(at, str) else None


_address_sets: Memory[AddressSet] = Memory(16)


def _address_set(family: Family, networks: tuple[str, ...]) -> AddressSet:
    return _address_sets.get_or_compute((family, networks), lambda: AddressSet.of(family, networks))
