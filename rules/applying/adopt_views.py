"""The preview of adopting the kernel's rules into the draft. Importing them does it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from dockerfw.iptables.errors import DocumentError
from rules.applying.drift_selectors import read_adoption
from rules.draft.document_views import import_preview, read_of_import
from rules.pages.requests import host_or_404
from rules.seen.snapshot_selectors import look


@require_safe
def adopt(request: HttpRequest, host_name: str) -> HttpResponse:
    """Show what the draft would become with the rules of our chains in the kernel."""
    host = host_or_404(host_name)
    seen = look(host)
    problem = seen.problem
    if seen.view is not None and seen.view.overtaken_by is not None:
        # Those rules were replaced since.
        problem = seen.view.overtaken
    elif seen.view is not None:
        try:
            imported = read_adoption(host, seen.view)
        except DocumentError as error:
            problem = f"The kernel's rules do not make a valid draft: {error}"
        else:
            if imported is not None:
                return import_preview(request, host, read_of_import(imported), adopting=True)
            problem = "The kernel holds no dockerfw rules that could become the draft."
    messages.warning(request, problem)
    return redirect("rules:dashboard", host.name)
