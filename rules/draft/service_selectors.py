"""Read what a rule can be for: the ports that this host offers, its containers, and common services.

Each choice fills several fields of the rule form at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.document.catalogue import SERVICES
from dockerfw.document.fields import Problems, read_port
from dockerfw.iptables.tokens import printable
from dockerfw.reach.offers import Offer
from dockerfw.reach.rule_warnings import find_ruled_ports
from rules.draft.draft_selectors import draft_document
from rules.draft.warning_selectors import offers_in
from rules.models import Host
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import sight_key

MOST_PORTS: Final = 100
MOST_CONTAINERS: Final = 40
_LONGEST_NAME: Final = 60
_PORT: Final = re.compile(r"(?P<ports>[0-9]{1,5}(?:-[0-9]{1,5})?)\s*(?:/\s*(?P<protocol>tcp|udp|sctp))?")
_WHERE: Final = {
    "process": "host",
    "host-container": "host",
    "container": "container",
    "ingress": "container",
}

ServiceKind = Literal["port", "container", "catalogue"]
_here: Memory[tuple[ServiceChoice, ...]] = Memory(4)


@dataclass(frozen=True, slots=True)
class ServiceChoice:
    """One entry of the field "Service or container": its label and the fields of a rule that it fills.

    `name` is the program or container, empty for one that is unknown. `has_rule`: an enabled rule of the
    draft is about this port.
    """

    label: str
    kind: ServiceKind
    values: Mapping[str, str]
    name: str = ""
    has_rule: bool = False
    port: str = ""


CATALOGUE: Final = tuple(
    ServiceChoice(
        label=f"{each.name} \u00b7 {','.join(each.ports)}{'/' if each.ports else ''}{each.protocol}",
        kind="catalogue",
        values={"protocol": each.protocol, "ports": ", ".join(each.ports), "comment": each.name},
        name=each.name,
    )
    for each in SERVICES
)
_NAMES: Final = {(each.protocol, port): each.name for each in SERVICES for port in each.ports}


def service_choices(host: Host, view: SnapshotView | None) -> tuple[ServiceChoice, ...]:
    """Return all choices: what this host offers first, then its other containers, then common services."""
    return (*choices_here(host, view), *CATALOGUE)


def choices_here(host: Host, view: SnapshotView | None) -> tuple[ServiceChoice, ...]:
    """Return the choices that the last snapshot of a host gives, none without one."""
    if view is None:
        return ()
    key = (host.pk, host.created_at, host.draft_version, sight_key(view))
    return _here.get_or_compute(key, lambda: _read_here(host, view))


def find_choice(text: str, choices: Iterable[ServiceChoice]) -> ServiceChoice | None:
    """Return what a typed text means: a label, a port such as `8443/tcp`, or the one name that fits."""
    wanted = " ".join(text.split()).lower()
    known = tuple(choices)
    for choice in known:
        if wanted in (choice.label.lower(), choice.name.lower()):
            return choice
    port = _PORT.fullmatch(wanted)
    if port is not None:
        ports = read_port(port["ports"], "", Problems())
        protocol = port["protocol"] or "tcp"
        label = f"{ports}/{protocol}"
        return ServiceChoice(label, "port", {"protocol": protocol, "ports": ports}) if ports else None
    fitting = [choice for choice in known if wanted and wanted in choice.label.lower()]
    return fitting[0] if len(fitting) == 1 else None


def _read_here(host: Host, view: SnapshotView) -> tuple[ServiceChoice, ...]:
    offers = [each for each in offers_in(view) if _can_be_chosen(each)]
    ruled = find_ruled_ports(draft_document(host).rules, offers[:MOST_PORTS])
    by_label: dict[str, ServiceChoice] = {}
    for offer in offers[:MOST_PORTS]:
        choice = _of_offer(offer, has_rule=offer.key in ruled)
        by_label.setdefault(choice.label, choice)
    named = {choice.values.get("container") for choice in by_label.values()}
    others = (each for each in _of_containers(view) if each.name not in named)
    return (*by_label.values(), *list(others)[:MOST_CONTAINERS])


def _can_be_chosen(offer: Offer) -> bool:
    """Return True for a port that a rule for host or containers can open."""
    bound = offer.address is not None and offer.address.is_loopback
    return offer.kind in _WHERE and not offer.ports and not bound and offer.port > 0


def _of_offer(offer: Offer, *, has_rule: bool) -> ServiceChoice:
    scope = _WHERE[offer.kind]
    names = offer.detail if scope == "container" and offer.detail else offer.name
    name = "" if "," in names or offer.kind == "ingress" else names
    container = name if scope == "container" else ""
    port = f"{offer.port}/{offer.protocol}"
    inner = next((each.to_port for each in offer.published), offer.port)
    known = _NAMES.get((offer.protocol, str(inner)), "")
    shown = _shorten(names) or ("a container" if scope == "container" else "unknown program")
    values = {
        "scope": scope,
        "protocol": offer.protocol,
        "ports": str(offer.port),
        "port_kind": "container" if offer.direct else "published",
        "container": container,
        "comment": " ".join(filter(None, (known, _shorten(container)))) or _shorten(names),
    }
    return ServiceChoice(
        label=f"{shown} \u00b7 {known}{' ' if known else ''}{port}",
        kind="port",
        values=values,
        name=shown,
        has_rule=has_rule,
        port=port,
    )


def _of_containers(view: SnapshotView) -> Iterator[ServiceChoice]:
    """Yield the containers by the name that a rule follows through restarts."""
    seen = set[str]()
    for each in view.snapshot.containers or ():
        name = f"{each.project}/{each.service}" if each.project and each.service else each.name
        if name and name not in seen and each.network_mode != "host":
            seen.add(name)
            yield ServiceChoice(
                label=f"{_shorten(name)} \u00b7 container",
                kind="container",
                values={"scope": "container", "container": name, "comment": _shorten(name)},
                name=name,
            )


def _shorten(name: str) -> str:
    """Return a name that another program gave, printable and bounded."""
    text = printable(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}\u2026"
