"""The guide to the first revision: a page for each question, each saved to the draft on its own.

Nothing of it is kept beside the draft, so that it can be left, reloaded and taken up again at any step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from dockerfw.document.words import describe_count
from rules.applying.caller_requests import caller_of
from rules.audit.actors import actor_of
from rules.draft.basis_selectors import Basis, basis_of
from rules.draft.draft_selectors import settings_mark
from rules.draft.draft_services import settings_update
from rules.draft.settings_views import offered_interfaces
from rules.models import Host
from rules.pages.errors import Conflict, Invalid
from rules.pages.forms import place_errors
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404
from rules.seen.snapshot_selectors import observe_request
from rules.start.start_forms import ContainersForm, InterfacesForm, ServicesForm, SourcesForm
from rules.start.start_selectors import (
    MOST_SERVICES,
    STEPS,
    lost_services,
    offered_services,
    ports_of_ssh,
    proposed_services,
    rules_for,
    ssh_rules,
    start_steps,
    viewer_of,
)
from rules.start.start_services import rules_add

CONFLICT = "The settings changed since you opened this page. Check your choice and save it again."


@require_safe
def start(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show the steps, and what the draft has for each."""
    host = host_or_404(host_name)
    observe_request(host)
    basis = basis_of(host)
    return _away(request, basis) or _render(request, "start/start.html", basis, "", {})


@require_http_methods(["GET", "HEAD", "POST"])
def start_step(request: HttpRequest, host_name: str, step: str) -> HttpResponse:
    """Show one step, or save its answer to the draft and go on to the next."""
    host = host_or_404(host_name)
    if step not in _PAGES:
        raise Http404(f"no step {step}")
    observe_request(host)
    basis = basis_of(host)
    return _away(request, basis) or _PAGES[step](request, basis)


def _interfaces(request: HttpRequest, basis: Basis) -> HttpResponse:
    host, offered = basis.host, offered_interfaces(basis.view)
    names, chosen = [each.name for each in offered], list(basis.draft.settings.external_interfaces)
    proposed = chosen or [each.name for each in offered if each.default_route]
    mark = settings_mark(host)
    if request.method != "POST":
        initial = {
            "mark": mark,
            "external_interfaces": [name for name in proposed if name in names],
            "external_other": ", ".join(name for name in proposed if name not in names),
        }
        form = InterfacesForm(initial=initial, offered=names)
    else:
        posted = request.POST.getlist("external_interfaces")
        form = InterfacesForm(request.POST, offered=[*names, *(name for name in posted if name not in names)])
        values = {"external_interfaces": form.names()} if form.is_valid() else {}
        if form.is_valid() and _settings_saved(request, host, form, values, "external_other"):
            return _next(host, "interfaces")
    ticked = set(form["external_interfaces"].value() or ())
    context = {
        "form": form,
        "mark": mark,
        "interfaces": [(each, each.name in ticked) for each in offered],
        "gone": sorted(ticked - set(names)),
        "in_draft": bool(chosen),
    }
    return _render(request, "start/interfaces.html", basis, "interfaces", context)


def _ssh(request: HttpRequest, basis: Basis) -> HttpResponse:
    host, ports = basis.host, ports_of_ssh(basis.view)
    viewer = viewer_of(caller_of(request, host), basis.view)
    present = ssh_rules(basis, ports)
    if request.method != "POST":
        form = SourcesForm(initial={"who": "me" if viewer.address else "network"}, viewer=viewer)
    else:
        form = SourcesForm(request.POST, viewer=viewer)
        if form.is_valid():
            rule = {
                "scope": "host",
                "protocol": "tcp",
                "ports": [str(port) for port in ports],
                "sources": form.sources(),
                "comment": "SSH",
            }
            if _rules_saved(request, host, form, [rule], "network"):
                return _next(host, "ssh")
    context = {"form": form, "viewer": viewer, "ports": ports, "present": present}
    return _render(request, "start/ssh.html", basis, "ssh", context)


def _services(request: HttpRequest, basis: Basis) -> HttpResponse:
    host = basis.host
    services = offered_services(basis, caller_of(request, host))
    if request.method != "POST":
        form = ServicesForm(offered=services)
    else:
        form = ServicesForm(request.POST, offered=services)
        if form.is_valid() and _rules_saved(request, host, form, form.rules(), "sources"):
            return _next(host, "services")
    ticked = set(form["services"].value() or ())
    context = {
        "form": form,
        "services": [(each, each.key in ticked) for each in services[:MOST_SERVICES]],
        "more": max(0, len(services) - MOST_SERVICES),
        "view": basis.view,
    }
    return _render(request, "start/services.html", basis, "services", context)


def _containers(request: HttpRequest, basis: Basis) -> HttpResponse:
    host, effect = basis.host, lost_services(basis)
    mark = settings_mark(host)
    if request.method != "POST":
        proposed = proposed_services(basis, effect.lost)
        form = ContainersForm(initial={"keep": "rules", "services": proposed}, lost=effect.lost)
    else:
        form = ContainersForm(request.POST, lost=effect.lost)
        if form.is_valid() and _containers_saved(request, host, form):
            return _next(host, "containers")
    ticked = set(form["services"].value() or ())
    context = {
        "form": form,
        "mark": mark,
        "effect": effect,
        "services": [(key, each, key in ticked) for key, each in form.lost.items()],
        "view": basis.view,
        "problem": basis.seen.problem,
    }
    return _render(request, "start/containers.html", basis, "containers", context)


def _containers_saved(request: HttpRequest, host: Host, form: ContainersForm) -> bool:
    if form.cleaned_data["keep"] == "rules":
        return _rules_saved(request, host, form, rules_for(form.chosen()), "services")
    return _settings_saved(request, host, form, {"containers_reach_host": "allow"}, "keep")


def _summary(request: HttpRequest, basis: Basis) -> HttpResponse:
    rules = [rule for rule in basis.draft.rules if rule.enabled]
    context = {"rules": rules, "settings": basis.draft.settings}
    return _render(request, "start/summary.html", basis, "summary", context)


_PAGES: Mapping[str, Callable[[HttpRequest, Basis], HttpResponse]] = {
    "interfaces": _interfaces,
    "ssh": _ssh,
    "services": _services,
    "containers": _containers,
    "summary": _summary,
}


def _settings_saved(
    request: HttpRequest, host: Host, form: forms.Form, values: Mapping[str, object], field: str
) -> bool:
    """Save settings; False with the reason in the form, if they changed meanwhile or are not valid."""
    mark = str(form.cleaned_data["mark"])
    try:
        settings_update(host=host, actor=actor_of(request), mark=mark, values=values)
    except Invalid as error:
        place_errors(form, error.errors, {"external_interfaces": field, "containers_reach_host": field})
    except Conflict:
        form.add_error(None, CONFLICT)
    else:
        return True
    return False


def _rules_saved(
    request: HttpRequest,
    host: Host,
    form: forms.Form,
    rules: Sequence[Mapping[str, object]],
    field: str,
) -> bool:
    """Add rules; False with the reason in the form, if one is not valid."""
    try:
        added = rules_add(host=host, actor=actor_of(request), rules=rules)
    except Invalid as error:
        place_errors(form, error.errors, {"sources": field})
        return False
    if added:
        messages.info(request, f"Added to the draft: {describe_count(added, 'rule')}.")
    return True


def _away(request: HttpRequest, basis: Basis) -> HttpResponse | None:
    """Lead away from the guide on a host that has a revision."""
    if basis.base is None:
        return None
    text = f"This host has revision {basis.head} already. Rules and settings have pages of their own."
    messages.info(request, text)
    return redirect("rules:dashboard", basis.host.name)


def _next(host: Host, step: str) -> HttpResponse:
    names = list(STEPS)
    return redirect("rules:start-step", host.name, names[names.index(step) + 1])


def _render(
    request: HttpRequest, template: str, basis: Basis, step: str, context: Mapping[str, object]
) -> HttpResponse:
    steps = start_steps(basis)
    names = list(STEPS)
    number = names.index(step) if step else -1
    frame = {
        "steps": steps,
        "step": steps[number] if step else None,
        "next": names[number + 1] if number + 1 < len(names) else "",
        "previous": names[number - 1] if number > 0 else "",
    }
    status = 422 if request.method == "POST" else 200
    return render_page(
        request, template, basis.host, {**frame, **context}, section="dashboard", status=status
    )
