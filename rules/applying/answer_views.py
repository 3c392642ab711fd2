"""The answers to an open confirmation window (keep, roll back, extend), and the key that Keep needs.

With htmx each answers a piece of the apply page, so that the page with its countdown stays when the host
cannot be reached. Without scripts each leads back to the page, and Keep uses a page of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from dockerfw_site.connections import connected_at
from rules.applying.answer_services import apply_extend, apply_keep, apply_nonce_create, apply_roll_back
from rules.applying.apply_errors import OldConnection, QueueUnavailable
from rules.applying.apply_selectors import ApplyView, apply_get
from rules.applying.apply_views import status_piece
from rules.audit.actors import actor_of
from rules.models import Apply, Host
from rules.pages.errors import Invalid, ServiceError
from rules.pages.frame import render_page
from rules.pages.requests import HtmxRequest, host_or_404, whole_number

# Tells the page's script that the same Keep will be valid over the next connection.
AGAIN = "X-Keep-Again"


@never_cache
@require_GET
def nonce(request: HttpRequest, host_name: str, apply_id: uuid.UUID) -> HttpResponse:
    """Answer a new key as JSON over a connection opened after the load, otherwise 409 with the reason."""
    _, view = _apply_or_404(host_name, apply_id)
    try:
        key = apply_nonce_create(
            apply=view.apply, actor=actor_of(request), connected_at=connected_at(request)
        )
    except ServiceError as error:
        return JsonResponse({"problem": str(error)}, status=409)
    return JsonResponse({"nonce": key})


@require_http_methods(["GET", "HEAD", "POST"])
def keep(request: HtmxRequest, host_name: str, apply_id: uuid.UUID) -> HttpResponse:
    """Keep the loaded rules; GET, and a POST without a key, show a page that carries a key."""
    host, view = _apply_or_404(host_name, apply_id)
    given = request.POST.get("nonce", "")
    if request.method == "POST" and given:
        return _send_answer(
            request,
            host,
            view,
            lambda: apply_keep(
                apply=view.apply, actor=actor_of(request), nonce=given, connected_at=connected_at(request)
            ),
        )
    if request.method == "POST":
        to_key = reverse("rules:apply-keep", args=[host.name, view.apply.pk])
        return HttpResponseClientRedirect(to_key) if request.htmx else redirect(to_key)
    try:
        key = apply_nonce_create(
            apply=view.apply, actor=actor_of(request), connected_at=connected_at(request)
        )
    except ServiceError as error:
        messages.warning(request, str(error))
        return redirect("rules:apply", host.name, view.apply.pk)
    context = {"view": view, "nonce": key}
    return render_page(request, "applying/keep.html", host, context, section="history")


@require_POST
def roll_back(request: HtmxRequest, host_name: str, apply_id: uuid.UUID) -> HttpResponse:
    """Restore the previous rules at once; every admin may."""
    host, view = _apply_or_404(host_name, apply_id)
    return _send_answer(
        request, host, view, lambda: apply_roll_back(apply=view.apply, actor=actor_of(request))
    )


@require_POST
def extend(request: HtmxRequest, host_name: str, apply_id: uuid.UUID) -> HttpResponse:
    """Extend the window; `seconds` is its new length, counted from the load."""
    host, view = _apply_or_404(host_name, apply_id)
    seconds = whole_number(request.POST.get("seconds"))
    return _send_answer(
        request,
        host,
        view,
        lambda: apply_extend(apply=view.apply, actor=actor_of(request), seconds=seconds),
    )


def _send_answer(
    request: HtmxRequest, host: Host, view: ApplyView, answer: Callable[[], Apply]
) -> HttpResponse:
    problem, status, again = "", 200, False
    try:
        answer()
    except ServiceError as error:
        problem, again = str(error), isinstance(error, OldConnection)
        status = 503 if isinstance(error, QueueUnavailable) else 422 if isinstance(error, Invalid) else 409
    if request.htmx:
        piece = status_piece(request, host, view.apply.pk, problem=problem, status=status)
        if again:
            piece[AGAIN] = "1"
        return piece
    if problem:
        messages.warning(request, problem)
    return redirect("rules:apply", host.name, view.apply.pk)


def _apply_or_404(host_name: str, apply_id: uuid.UUID) -> tuple[Host, ApplyView]:
    host = host_or_404(host_name)
    view = apply_get(apply_id)
    if view is None or view.apply.host_id != host.pk:
        raise Http404("no such apply")
    return host, view
