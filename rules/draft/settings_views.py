"""The settings page of a host's draft, which offers the interfaces that the host has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from dockerfw.chains.interface_warnings import docker_bridges, interface_warnings
from dockerfw.document.document import settings_to_json_object, validate_settings
from dockerfw.iptables.errors import DocumentError
from rules.audit.actors import actor_of
from rules.draft.conflict_forms import kept_words, merge_edits, merged_data, opened_text
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
        opened = opened_text(settings_values(host))
        form = SettingsForm(initial=_initial(host, names), offered=names)
        return _page(request, host, form, offered, opened=opened)
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
        return _resolve_conflict(request, host, form, offered, error)
    return _saved(request, host)


@require_POST
def containers_reach_host(request: HttpRequest, host_name: str) -> HttpResponse:
    """Set whether containers reach the host, the question of the first review, and go back there."""
    host = host_or_404(host_name)
    try:
        settings_update(
            host=host,
            actor=actor_of(request),
            mark=request.POST.get("mark", ""),
            values={"containers_reach_host": request.POST.get("value", "")},
        )
    except (Conflict, Invalid) as error:
        messages.error(request, str(error))
    else:
        messages.info(request, "Containers of this host reach every port of it, once the draft is applied.")
    return redirect("rules:review", host.name)


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
    seen = snapshot.snapshot
    found = docker_bridges(snapshot.rulesets.values(), (each.name for each in seen.interfaces))
    return tuple(sorted({*found, *seen.named_bridges}))


def _warn(request: HttpRequest, host: Host, snapshot: SnapshotView | None) -> None:
    """Say what saved settings would break."""
    settings = settings_document(host_or_404(host.name))
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
        "containers_reach_host": host.containers_reach_host,
        "log_refused": host.log_refused,
        "heal_anchors": host.heal_anchors,
    }


def _posted_interfaces(request: HttpRequest, offered: list[str]) -> list[str]:
    # A checkbox of the opened page still counts if its interface has disappeared since.
    return [name for name in request.POST.getlist("external_interfaces") if name not in offered]


def _resolve_conflict(
    request: HttpRequest,
    host: Host,
    form: SettingsForm,
    offered: tuple[OfferedInterface, ...],
    error: Conflict,
) -> HttpResponse:
    """Save both edits where no field was changed by both; else show them side by side."""
    current = error.current if isinstance(error.current, Host) else host
    stored, mine, mark = settings_values(current), _canonical(form), settings_mark(current)
    merge = merge_edits(request, stored, mine)
    if not merge.both:
        try:
            settings_update(host=host, actor=actor_of(request), mark=mark, values=merge.values)
        except (Conflict, Invalid):
            # A third edit, or settings that only both edits together make wrong: the admin decides.
            pass
        else:
            return _saved(request, host, kept_words(setting_pairs(merge.values, mine)))
    names = [each.name for each in offered]
    data = merged_data(request, merge, _initial(current, names), mark=mark)
    again = SettingsForm(data, offered=[*names, *_posted_interfaces(request, [])])
    conflict = setting_pairs(stored, merge.values)
    return _page(request, current, again, offered, opened=opened_text(stored), conflict=conflict, status=409)


def _saved(request: HttpRequest, host: Host, kept: str = "") -> HttpResponse:
    messages.info(request, f"Settings saved to the draft.{kept}")
    _warn(request, host, latest_snapshot(host))
    return redirect("rules:settings", host.name)


def _canonical(form: SettingsForm) -> dict[str, object]:
    """Return the typed values as a document writes them, or as they are where they are not valid."""
    values = form.document_values()
    try:
        return settings_to_json_object(validate_settings(values))
    except DocumentError:
        return values


def _page(
    request: HttpRequest,
    host: Host,
    form: SettingsForm,
    offered: tuple[OfferedInterface, ...],
    *,
    opened: str = "",
    conflict: tuple[FieldPair, ...] = (),
    status: int = 200,
) -> HttpResponse:
    chosen = set(form["external_interfaces"].value() or ())
    there = {each.name for each in offered}
    gone = [OfferedInterface(name, (), False, False, True) for name in sorted(chosen - there)]
    boxes = [replace(each, chosen=each.name in chosen) for each in offered]
    context = {
        "form": form,
        "interfaces": [*boxes, *gone],
        "conflict": conflict,
        "opened": opened or request.POST.get("opened", ""),
    }
    return render_page(request, "draft/settings.html", host, context, section="settings", status=status)
