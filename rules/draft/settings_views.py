"""The settings page of a host's draft, which offers the interfaces that the host has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from dockerfw.chains.interface_warnings import docker_bridges, interface_warnings
from rules.audit.actors import actor_of
from rules.draft.draft_selectors import settings_document, settings_mark, settings_values
from rules.draft.draft_services import settings_update
from rules.draft.settings_forms import SettingsForm
from rules.models import Host
from rules.pages.errors import Conflict, Invalid
from rules.pages.forms import place_errors
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404
from rules.pages.wording import FieldPair, setting_pairs
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot, observe_request


@dataclass(frozen=True, slots=True)
class OfferedInterface:
    """An interface of the host, as a checkbox."""

    name: str
    addresses: tuple[str, ...]
    up: bool
    default_route: bool
    chosen: bool = False
    bridge: bool = False


@require_http_methods(["GET", "HEAD", "POST"])
def settings_edit(request: HttpRequest, host_name: str) -> HttpResponseBase:
    """Show and change the settings; a conflicting edit shows both versions and keeps what was typed."""
    host = host_or_404(host_name)
    snapshot = latest_snapshot(host)
    offered = offered_interfaces(snapshot)
    observe_request(host)
    names = [each.name for each in offered]
    if request.method != "POST":
        return _page(request, host, SettingsForm(initial=_initial(host, names), offered=names), offered)
    form = SettingsForm(request.POST, offered=[*names, *_posted_interfaces(request, names)])
    if not form.is_valid():
        return _page(request, host, form, offered, status=422)
    try:
        settings_update(
            host=host,
            actor=actor_of(request),
            mark=form.cleaned_data["mark"],
            values=form.document_values(),
        )
    except Invalid as error:
        place_errors(form, error.errors, {"external_interfaces": "external_other"})
        return _page(request, host, form, offered, status=422)
    except Conflict as error:
        return _conflict(request, host, form, offered, error)
    messages.info(request, "Settings saved to the draft.")
    _warn(request, host, snapshot)
    return redirect("rules:settings", host.name)


def offered_interfaces(snapshot: SnapshotView | None) -> tuple[OfferedInterface, ...]:
    """Return the host's interfaces without loopback and veth: default routes first, Docker's bridges last."""
    if snapshot is None:
        return ()
    seen = snapshot.snapshot
    defaults = {name for names in seen.default_routes.values() for name in names}
    bridges = bridges_of(snapshot)
    found = [
        OfferedInterface(
            each.name,
            tuple(each.addresses),
            each.up,
            each.name in defaults,
            bridge=each.name in bridges,
        )
        for each in seen.interfaces
        if each.name != "lo" and not each.name.startswith("veth")
    ]
    return tuple(sorted(found, key=lambda each: (not each.default_route, each.bridge, each.name)))


def bridges_of(snapshot: SnapshotView) -> tuple[str, ...]:
    """Return the bridges of Docker's networks."""
    return docker_bridges(snapshot.rulesets.values(), (each.name for each in snapshot.snapshot.interfaces))


def _warn(request: HttpRequest, host: Host, snapshot: SnapshotView | None) -> None:
    """Say what saved settings would break."""
    settings = settings_document(Host.objects.get(pk=host.pk))
    for _, message in interface_warnings(settings, bridges_of(snapshot) if snapshot else ()):
        messages.warning(request, message)


def _initial(host: Host, offered: list[str]) -> dict[str, object]:
    external = list(host.external_interfaces)
    return {
        "mark": settings_mark(host),
        "external_interfaces": [name for name in external if name in offered],
        "external_other": ", ".join(name for name in external if name not in offered),
        "trusted_interfaces": ", ".join(host.trusted_interfaces),
        "refuse": host.refuse,
        "icmp": host.icmp,
        "heal_anchors": host.heal_anchors,
    }


def _posted_interfaces(request: HttpRequest, offered: list[str]) -> list[str]:
    # A checkbox of the opened page still counts if its interface has disappeared since.
    return [name for name in request.POST.getlist("external_interfaces") if name not in offered]


def _conflict(
    request: HttpRequest,
    host: Host,
    form: SettingsForm,
    offered: tuple[OfferedInterface, ...],
    error: Conflict,
) -> HttpResponse:
    current = error.current if isinstance(error.current, Host) else host
    lines = setting_pairs(settings_values(current), form.document_values())
    data = request.POST.copy()
    data["mark"] = settings_mark(current)
    again = SettingsForm(data, offered=[*(each.name for each in offered), *_posted_interfaces(request, [])])
    return _page(request, current, again, offered, conflict=lines, status=409)


def _page(
    request: HttpRequest,
    host: Host,
    form: SettingsForm,
    offered: tuple[OfferedInterface, ...],
    *,
    conflict: tuple[FieldPair, ...] = (),
    status: int = 200,
) -> HttpResponse:
    chosen = set(form["external_interfaces"].value() or ())
    there = {each.name for each in offered}
    gone = [OfferedInterface(name, (), False, False, True) for name in sorted(chosen - there)]
    boxes = [replace(each, chosen=each.name in chosen) for each in offered]
    context = {"form": form, "interfaces": [*boxes, *gone], "conflict": conflict}
    return render_page(request, "draft/settings.html", host, context, section="settings", status=status)
