"""Read what the rule form suggests: the draft's groups, and the containers and interfaces of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dockerfw.document.container_labels import LABEL
from rules.draft.group_selectors import GroupRow, group_rows
from rules.models import Host
from rules.seen.snapshot_selectors import SnapshotView

MOST: Final = 300
_PROJECT: Final = "com.docker.compose.project="
_GIVEN_BY_PROGRAMS: Final = ("com.docker.", "desktop.docker.", "org.opencontainers.image.")


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What the fields of a rule can be filled with; free text is allowed beside it."""

    groups: tuple[GroupRow, ...]
    containers: tuple[str, ...]
    interfaces: tuple[str, ...]


def suggestions_of(host: Host, view: SnapshotView | None) -> Suggestions:
    """Return the suggestions for a rule of a host; without a snapshot, what the draft has."""
    groups = tuple(row for row in group_rows(host) if row.version)[:MOST]
    seen = {each.name for each in view.snapshot.interfaces} if view else set()
    external = list(host.external_interfaces)
    others = sorted(name for name in seen - set(external) if name != "lo" and not name.startswith("veth"))
    return Suggestions(groups, container_names(view)[:MOST], (*external, *others)[:MOST])


def container_names(view: SnapshotView | None) -> tuple[str, ...]:
    """Return what a rule can call each container: its Compose service, its own name, and its labels."""
    containers = (view.snapshot.containers if view else None) or ()
    names = {each.name for each in containers}
    services = {f"{each.project}/{each.service}" for each in containers if each.project and each.service}
    labels = {f"{LABEL}{label}" for each in containers for label in each.labels if _is_chosen(label)}
    return (*sorted(services), *sorted(names), *sorted(labels))


def _is_chosen(label: str) -> bool:
    """Return True for labels that people give; Compose and builders of images add many of their own."""
    return label.startswith(_PROJECT) or not label.startswith(_GIVEN_BY_PROGRAMS)
