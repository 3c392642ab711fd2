"""The list behind a group: its state, versions and networks, with Fetch now and Accept."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from rules.applying.group_list_selectors import group_states, list_row, list_state_of, version_get
from rules.audit.actors import actor_of
from rules.lists.list_selectors import list_networks, list_versions
from rules.lists.list_services import list_accept, list_refresh
from rules.pages.errors import ServiceError
from rules.pages.frame import render_page
from rules.pages.requests import host_or_404, text_asked, whole_number

PAGE = 500


@require_safe
def group_list_page(request: HttpRequest, host_name: str, name: str) -> HttpResponse:
    """Show the list of a group: what it stands for now, a version that waits, and the versions before."""
    host = host_or_404(host_name)
    state = list_state_of(host, name)
    if state is None:
        raise Http404(f"no list of group {name}")
    query = text_asked(request, "q").lower()
    networks = list_networks(host, state.definition) or ()
    shown = [each for each in networks if query in each] if query else networks
    context = {
        "name": name,
        "state": state,
        "words": group_states(host).get(name),
        "versions": list_versions(list_row(state)),
        "page": Paginator(shown, PAGE).get_page(whole_number(request.GET.get("page"), 1)),
        "query": query,
    }
    return render_page(request, "applying/group_list.html", host, context, section="groups")


@require_POST
def group_list_fetch(request: HttpRequest, host_name: str, name: str) -> HttpResponse:
    """Have the list of a group fetched as soon as possible."""
    host = host_or_404(host_name)
    state = list_state_of(host, name)
    if state is None:
        raise Http404(f"no list of group {name}")
    list_refresh(row=list_row(state), actor=actor_of(request))
    messages.info(request, f"Requested: the clerk fetches @{name} next. Reload the page to see the result.")
    return redirect("rules:group-list-page", host.name, name)


@require_POST
def group_list_accept(request: HttpRequest, host_name: str, name: str) -> HttpResponse:
    """Use a version of the list that waits to be accepted."""
    host = host_or_404(host_name)
    version = version_get(host, whole_number(request.POST.get("version")))
    if version is None:
        raise Http404("no such version of a list")
    try:
        list_accept(version=version, actor=actor_of(request))
    except ServiceError as error:
        messages.warning(request, str(error))
    else:
        messages.info(request, f"Version {version.number} of @{name} is in use.")
    return redirect("rules:group-list-page", host.name, name)
